import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { deleteNamespaces, importedHosts, untilNarrowed } from '../../../box/fleet.ts';
import { openMesh } from '../../../box/mesh.ts';
import { repoDir } from '../../../box/paths.ts';
import { enableNamespace } from '../../../box/product.ts';
import { type Case, readCases, twin } from './cases.ts';
import type { Addresses } from './destination.ts';
import type { Outcome } from './outcome.ts';
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
const all = readCases();
const cases = all.filter(({ isTwin }) => !isTwin);

type Outcomes = Map<string, Map<string, Outcome>>;
const outcomes: Record<'full' | 'unknown' | 'known', Outcomes> = {
  full: new Map(),
  unknown: new Map(),
  known: new Map(),
};
const imports = new Map<string, string[]>();

/** Two clients at a time: there are two cores. */
async function ofClients(work: (client: Client) => Promise<void>): Promise<void> {
  const waiting = [...clients];
  const worker = async () => {
    for (let client = waiting.shift(); client; client = waiting.shift()) await work(client);
  };
  await Promise.all([worker(), worker()]);
}

const run = (state: keyof typeof outcomes, addresses: Addresses) =>
  ofClients(async (client) => {
    outcomes[state].set(labelOf(client), await runCases(mesh, client, cases, addresses));
  });

/**
 * istiod takes its time to send some hundred new hosts to all, and what it has not sent yet fails. So what
 * failed is called again until it fails the same way for a while: then it is what full configuration does.
 */
async function untilSettled(addresses: Addresses): Promise<void> {
  for (let round = 0, same = 0; same < 2 && round < settlingRounds; round++) {
    await sleep(3_000);
    let changed = 0;
    await ofClients(async (client) => {
      const found = outcomes.full.get(labelOf(client));
      const failed = cases.filter(({ name }) => hasFailed(found?.get(name)));
      const results = await runCases(mesh, client, failed, addresses);
      for (const [name, outcome] of results) {
        if (!isDeepStrictEqual(outcome, found?.get(name))) changed += 1;
        found?.set(name, outcome);
      }
    });
    same = changed === 0 ? same + 1 : 0;
  }
}

/** A minute and more: no push takes that long. */
const settlingRounds = 20;

const hasFailed = (outcome: Outcome | undefined) =>
  outcome?.error !== '' || outcome.status === 503 || outcome.status === 404;

/**
 * On a busy machine a question may not be answered in time, and the call takes the fallback, as it should;
 * or a call takes too long. So what went another way has a second chance, alone: a first call at a
 * destination of its own.
 */
async function runAgain(state: 'unknown' | 'known', addresses: Addresses): Promise<void> {
  const suffix = state === 'unknown' ? twin : '';
  for (const client of clients) {
    const found = outcomes[state].get(labelOf(client));
    const full = outcomes.full.get(labelOf(client));
    const names = cases
      .filter(({ name }) => !isDeepStrictEqual(found?.get(name), full?.get(name)))
      .filter((each) => !differsIn(each, state, labelOf(client)))
      .map(({ name }) => name + suffix);
    const again = all.filter(({ name }) => names.includes(name));
    const results = await runCases(mesh, client, again, addresses, 1);
    for (const [name, outcome] of results) found?.set(name.replace(/-2$/, ''), outcome);
  }
}

/** Two minutes on an idle machine; everything in this file happens in it. */
const setUpMs = 900_000;

beforeAll(async () => {
  const addresses = await createRig(mesh, all);
  // Twice: the first opens connections.
  await run('full', addresses);
  await run('full', addresses);
  await untilSettled(addresses);
  for (const namespace of [allowAny, registryOnly])
    await enableNamespace(mesh, namespace, 'enforce');
  for (const { namespace, name } of clients) await untilNarrowed(mesh, namespace, [name]);
  await run('unknown', addresses);
  await runAgain('unknown', addresses);
  await untilLearned();
  await run('known', addresses);
  await runAgain('known', addresses);
}, setUpMs);

afterAll(() => deleteNamespaces(mesh, allowAny, registryOnly));

/** The scopes are written and have not changed for longer than any write waits. */
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

const differsIn = ({ differs }: Case, state: string, client: string) =>
  differs !== undefined &&
  (differs.state ?? state) === state &&
  (differs.clients ?? [client]).includes(client);

function expectSame(each: Case, state: 'unknown' | 'known'): void {
  const of = (outcome: Outcomes, expected: boolean) =>
    Object.fromEntries(
      clients
        .map(labelOf)
        .filter((client) => differsIn(each, state, client) === expected)
        .map((client) => [client, outcome.get(client)?.get(each.name)]),
    );
  expect(of(outcomes[state], false)).toEqual(of(outcomes.full, false));
  // A difference that has gone leaves the table and KNOWN_ISSUES.md.
  const expected = of(outcomes[state], true);
  if (Object.keys(expected).length > 0) expect(expected).not.toEqual(of(outcomes.full, true));
}

const titled = cases.map((each) => ({ ...each, title: `${each.name} (${each.why})` }));

describe('a first call is as with full configuration', () => {
  test.each(titled)('$title', (each) => expectSame(each, 'unknown'));
});

describe('a call to what was learned is as with full configuration', () => {
  test.each(titled)('$title', (each) => expectSame(each, 'known'));
});

describe('the scope imports what was called, and what that leads to', () => {
  test.each(titled)('$title', (each) => {
    for (const client of clients) {
      const { namespace } = client;
      // Two headless Services with one pod and port are one to TCP: either may be learned.
      const entries = (imports.get(labelOf(client)) ?? []).map((e) => e.replace(`${twin}.`, '.'));
      const own = entries.filter((e) => e.match(`^${namespace}/(\\*\\.)?${each.name}(-to)?\\.`));
      const expected = expectedEntries(each, namespace);
      expect(own, labelOf(client)).toEqual(expect.arrayContaining(expected));
      // A rule of a VirtualService leads to a Service, which Envoy then tells of.
      if (!each.to.startsWith('virtual')) expect(new Set(own)).toEqual(new Set(expected));
    }
  });
});

function expectedEntries({ learns = 'service', name }: Case, namespace: string): string[] {
  if (learns === 'nothing') return [];
  if (learns === 'service') return [`${namespace}/${name}.${namespace}.svc.cluster.local`];
  const entry = learns.replaceAll('NS', namespace).replaceAll('ID', name);
  return entry.includes(name) ? [entry] : [];
}

test('every difference that is expected is explained in KNOWN_ISSUES.md', () => {
  const text = readFileSync(join(repoDir, 'KNOWN_ISSUES.md'), 'utf8');
  for (const { differs } of cases) if (differs) expect(text).toContain(`## ${differs.issue}\n`);
});
