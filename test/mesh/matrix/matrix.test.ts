import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { installAccessLog } from '../../../box/access-log.ts';
import { hasCluster, literally } from '../../../box/cluster-query.ts';
import { deleteNamespaces, importedHosts, untilNarrowed } from '../../../box/fleet.ts';
import { openMesh } from '../../../box/mesh.ts';
import { repoDir } from '../../../box/paths.ts';
import { enableNamespace } from '../../../box/product.ts';
import { countSecondTries, watchLateAnswers } from '../second-tries.ts';
import { type Case, type Difference, fullAnswer, readCases, twin } from './cases.ts';
import type { Addresses } from './destination.ts';
import { answerOf, type Outcome } from './outcome.ts';
import {
  clustersOf,
  emptyPaths,
  firstCallRequests,
  grown,
  keepTimes,
  requestsOf,
  slowerThanFull,
} from './paths.ts';
import { type Kept, keepFull, lossesOf, type ProxyRef, proxyLabel, untilQuiet } from './proxies.ts';
import {
  allowAny,
  type Client,
  clients,
  createRig,
  labelOf,
  registryOnly,
  runCases,
} from './rig.ts';

const mesh = openMesh();
/** The whole table in namespaces without the filter. */
const isByLog = process.env.LAZYSCOPE_MATRIX_SOURCE === 'access-log';
const all = readCases(isByLog);
const cases = all.filter(({ isTwin }) => !isTwin);

type Outcomes = Map<string, Map<string, Outcome>>;
const outcomes: Record<'full' | 'unknown' | 'known', Outcomes> = {
  full: new Map(),
  unknown: new Map(),
  known: new Map(),
};
const imports = new Map<string, string[]>();

const servers = ['strict', 'permissive', 'disable', 'stateful'];
const proxies: ProxyRef[] = [
  ...clients,
  ...[allowAny, registryOnly].flatMap((namespace) => servers.map((name) => ({ namespace, name }))),
];
let kept: Kept;

/** Runs two clients at a time, because there are two cores. */
async function ofClients(work: (client: Client) => Promise<void>): Promise<void> {
  const waiting = [...clients];
  const worker = async () => {
    for (let client = waiting.shift(); client; client = waiting.shift()) await work(client);
  };
  await Promise.all([worker(), worker()]);
}

/** Paths by client. The times of full configuration are the longest of all calls of a case. */
const paths = { full: emptyPaths(clients), known: emptyPaths(clients) };
/** First calls that were repeated at another destination, with their client. */
const secondTries: string[] = [];
let late = 0;

async function run(state: keyof typeof outcomes, addresses: Addresses): Promise<void> {
  await ofClients(async (client) => {
    const before = await requestsOf(mesh, client);
    const results = await runCases(mesh, client, cases, addresses);
    outcomes[state].set(labelOf(client), results.outcomes);
    if (state === 'unknown') return;
    const path = paths[state].get(labelOf(client));
    if (!path) return;
    // With full configuration this counts every request that was ever sent, because pushes go on
    // and each push may reset a counter.
    const unchanged = state === 'full' ? new Map<string, number>() : before;
    const now = grown(unchanged, await requestsOf(mesh, client));
    // A cluster of either run of known calls counts.
    path.requests = state === 'full' ? now : new Map([...path.requests, ...now]);
    const better = state === 'full' ? Math.max : Math.min;
    keepTimes(path.milliseconds, results.milliseconds, better);
  });
}

/**
 * istiod needs time to send some hundred new hosts to all proxies, and calls to the missing hosts
 * fail. This repeats the calls that differ from the table until none differs, or until the
 * differences stay the same for a while.
 */
async function untilSettled(addresses: Addresses): Promise<void> {
  for (let round = 0, same = 0, left = 0; same < (left > 0 ? 6 : 2); round++) {
    if (round === settlingRounds) throw new Error(`not settled after ${round} rounds`);
    await sleep(3_000);
    let changed = 0;
    left = 0;
    await ofClients(async (client) => {
      const found = outcomes.full.get(labelOf(client));
      const wrong = cases.filter((each) => !isAsTold(each, client, found?.get(each.name)));
      left += wrong.length;
      const results = await runCases(mesh, client, wrong, addresses);
      for (const [name, outcome] of results.outcomes) {
        if (!isDeepStrictEqual(outcome, found?.get(name))) changed += 1;
        found?.set(name, outcome);
      }
    });
    same = changed === 0 ? same + 1 : 0;
  }
}

/** More than a minute. No push takes that long. */
const settlingRounds = 20;

const isAsTold = (each: Case, { namespace }: Client, outcome: Outcome | undefined) =>
  outcome !== undefined && answerOf(outcome) === fullAnswer(each, namespace);

/**
 * On a busy machine an answer may come late, and the call correctly takes the fallback. So a first
 * call with another outcome gets a second try at a destination of its own, with no other call
 * beside it. A test below holds that there were no more second tries than late answers.
 */
async function runAgain(addresses: Addresses): Promise<void> {
  for (const client of clients) {
    const found = outcomes.unknown.get(labelOf(client));
    const full = outcomes.full.get(labelOf(client));
    const names = cases
      .filter(({ name }) => !isDeepStrictEqual(found?.get(name), full?.get(name)))
      .filter((each) => !differsIn(each, 'unknown', labelOf(client)))
      .map(({ name }) => name + twin);
    secondTries.push(...names.map((name) => `${labelOf(client)} ${name}`));
    const again = all.filter(({ name }) => names.includes(name));
    const results = await runCases(mesh, client, again, addresses, 1);
    for (const [name, outcome] of results.outcomes) found?.set(name.replace(/-2$/, ''), outcome);
  }
}

/**
 * A known call may be repeated, because the repetition is a known call too. The fastest of three
 * counts.
 */
async function timeAgain(addresses: Addresses): Promise<void> {
  for (const client of clients) {
    const [full, known] = [paths.full, paths.known].map((each) => each.get(labelOf(client)));
    if (!full || !known) continue;
    for (let round = 0; round < 2; round++) {
      const slow = slowerThanFull(cases, full, known);
      const { milliseconds } = await runCases(mesh, client, slow, addresses, 1);
      keepTimes(known.milliseconds, milliseconds, Math.min);
    }
  }
}

const untilScoped = ({ namespace, name }: Client) => untilNarrowed(mesh, namespace, [name]);

/**
 * Without the filter every scope has the synthetic Services, whose endpoints are no pods of the
 * mesh, so a destination of the table shows that a client is narrowed.
 */
async function untilNarrowedByLog({ namespace, name: app }: Client): Promise<void> {
  const pod = await mesh.pod(namespace, `app=${app}`);
  const plain = cases.find(({ to, on }) => to === 'short' && on === 'strict');
  const excluded = literally(`|${plain?.name}.${namespace}.svc.cluster.local`);
  await mesh.waitFor(`${namespace}/${app} to be narrowed`, async () => {
    if (!(await hasCluster(mesh, pod, 'lazyscope-unknown'))) return false;
    return !(await hasCluster(mesh, pod, `outbound.*${excluded}`));
  });
}

/** The set-up makes all calls of this file. It takes two minutes on an idle machine. */
const setUpMs = 900_000;

beforeAll(async () => {
  const addresses = await createRig(mesh, all);
  // The calls run more than once. The first calls open connections; the last ones count.
  await untilQuiet(mesh, proxies);
  await run('full', addresses);
  await untilSettled(addresses);
  await run('full', addresses);
  kept = await keepFull(mesh, proxies);
  for (const namespace of [allowAny, registryOnly])
    await (isByLog ? installAccessLog : enableNamespace)(mesh, namespace, 'enforce');
  for (const client of clients) await (isByLog ? untilNarrowedByLog(client) : untilScoped(client));
  const lateAnswers = await watchLateAnswers(mesh, await callers());
  await run('unknown', addresses);
  late = await lateAnswers();
  await runAgain(addresses);
  await untilLearned();
  // Twice, as above: Envoy may still replace a cluster, which then counts from zero.
  await run('known', addresses);
  await run('known', addresses);
  await timeAgain(addresses);
}, setUpMs);

const callers = () =>
  Promise.all(clients.map(({ namespace, name }) => mesh.pod(namespace, `app=${name}`)));

afterAll(async () => {
  await kept?.forget();
  await deleteNamespaces(mesh, allowAny, registryOnly);
});

/** Waits until the scopes are written and have not changed for longer than any write can take. */
async function untilLearned(): Promise<void> {
  for (let before = ''; ; ) {
    for (const { namespace, name } of clients)
      imports.set(labelOf({ namespace, name }), await importedHosts(mesh, namespace, name));
    const now = JSON.stringify([...imports]);
    if (now === before) return;
    before = now;
    await sleep(4_000);
  }
}

const differsIn = (
  { differs }: Case,
  state: string,
  client: string,
  aspect: Difference['in'] = 'outcome',
) =>
  differs !== undefined &&
  (differs.in ?? 'outcome') === aspect &&
  (differs.state ?? state) === state &&
  (differs.clients?.includes(client) ?? true);

/**
 * Compares each client by itself. A difference that no longer exists must leave the table and
 * KNOWN_ISSUES.md.
 */
function expectSame(each: Case, state: 'unknown' | 'known'): void {
  for (const client of clients.map(labelOf)) {
    const found = outcomes[state].get(client)?.get(each.name);
    const full = outcomes.full.get(client)?.get(each.name);
    expect(found, client).toBeDefined();
    if (differsIn(each, state, client))
      expect(found, `${client} differs, says the table`).not.toEqual(full);
    else expect(found, client).toEqual(full);
  }
}

test.each(proxies.map((proxy) => [proxyLabel(proxy), proxy] as const))(
  '%s has everything imported and inbound as with full configuration, and nothing dangles',
  async (_label, proxy) => expect(await lossesOf(mesh, proxy, kept)).toEqual([]),
);

const titled = cases.map((each) => ({ ...each, title: `${each.name} (${each.why})` }));

describe('full configuration gives the results of the table', () => {
  test.each(titled)('$title', (each) => {
    const { name } = each;
    const answers = (of: (client: Client) => unknown) =>
      Object.fromEntries(clients.map((client) => [labelOf(client), of(client)]));
    expect(
      answers((client) => answerOf(outcomes.full.get(labelOf(client))?.get(name) ?? {})),
    ).toEqual(answers(({ namespace }) => fullAnswer(each, namespace)));
  });
});

describe('a first call has the result of full configuration', () => {
  test.each(titled)('$title', (each) => expectSame(each, 'unknown'));
});

describe('a call to a learned destination has the result of full configuration', () => {
  test.each(titled)('$title', (each) => expectSame(each, 'known'));
});

describe('a known call takes the cluster and the time of full configuration', () => {
  test.each(titled)('$title', (each) => {
    for (const client of clients.map(labelOf)) {
      const [full, known] = [paths.full, paths.known].map((of) => of.get(client));
      if (!full || !known) throw new Error(`${client} has made no calls`);
      // A call with another outcome also takes another path.
      if (differsIn(each, 'known', client)) continue;
      const same = {
        clusters: clustersOf(each, known.requests),
        slower: slowerThanFull([each], full, known).map(() => [
          known.milliseconds.get(each.name),
          full.milliseconds.get(each.name),
        ]),
      };
      const expected = { clusters: clustersOf(each, full.requests), slower: [] };
      if (differsIn(each, 'known', client, 'path')) expect(same, client).not.toEqual(expected);
      else expect(same, client).toEqual(expected);
    }
  });

  test.each(clients.map(labelOf))(
    '%s sends none of them through the clusters of first calls',
    (client) => {
      const ways = firstCallRequests(paths.known.get(client)?.requests ?? new Map());
      const differing = cases.filter(
        (each) => differsIn(each, 'known', client) || differsIn(each, 'known', client, 'path'),
      );
      // A row that differs adds one request to the first-call clusters.
      const sum = Object.values(ways).reduce((total, count) => total + count, 0);
      expect(sum, JSON.stringify(ways)).toBeLessThanOrEqual(differing.length);
    },
  );
});

test('second tries have a cause and are few', () => {
  // One in a hundred of all first calls.
  const most = Math.ceil((cases.length * clients.length) / 100);
  countSecondTries(secondTries, { late, most });
});

describe('the scope imports the called hosts and the hosts that these lead to', () => {
  test.each(titled)('$title', (each) => {
    for (const client of clients) {
      const { namespace } = client;
      // For TCP, two headless Services with the same pod and port are the same: either may be
      // learned.
      const entries = (imports.get(labelOf(client)) ?? []).map((e) => e.replace(`${twin}.`, '.'));
      const own = entries.filter((e) => e.match(`^${namespace}/(\\*\\.)?${each.name}(-to)?\\.`));
      const expected = expectedEntries(each, namespace);
      expect(own, labelOf(client)).toEqual(expect.arrayContaining(expected));
      // A rule of a VirtualService leads to a Service, which the filter then also reports.
      // Without the filter, a scope has hosts that were never called.
      if (!each.to.startsWith('virtual') && !isByLog)
        expect(new Set(own)).toEqual(new Set(expected));
    }
  });
});

function expectedEntries(
  { learns = 'service', name }: Pick<Case, 'learns' | 'name'>,
  namespace: string,
): string[] {
  if (Array.isArray(learns))
    return learns.flatMap((each) => expectedEntries({ learns: each, name }, namespace));
  if (learns === 'nothing') return [];
  if (learns === 'service') return [`${namespace}/${name}.${namespace}.svc.cluster.local`];
  const entry = learns.replaceAll('NS', namespace).replaceAll('ID', name);
  return entry.includes(name) ? [entry] : [];
}

test('KNOWN_ISSUES.md explains every expected difference', () => {
  const text = readFileSync(join(repoDir, 'KNOWN_ISSUES.md'), 'utf8');
  for (const { differs } of cases) if (differs) expect(text).toContain(`## ${differs.issue}\n`);
});
