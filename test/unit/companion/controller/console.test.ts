import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { afterEach, expect, test } from 'vitest';
import {
  createAccessCheck,
  namespacesMax,
  rememberedMs,
} from '../../../../companion/controller/console/access.ts';
import { changesAtOnce } from '../../../../companion/controller/console/events.ts';
import { startConsole } from '../../../../companion/controller/console/server.ts';
import { answerBounds } from '../../../../companion/controller/console/views.ts';
import { createControllerMetrics } from '../../../../companion/controller/metrics.ts';
import { createState, type State } from '../../../../companion/controller/state/state.ts';
import { createHistory } from '../../../../companion/core/history/history.ts';
import { readWorkloadScope } from '../../../../companion/core/scope/workload-scope.ts';

const start = Date.parse('2026-01-01T00:00:00Z');
const minute = 60_000;
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** Users by token, and the namespaces that they may list. */
const users: Record<string, string[] | 'all'> = { admin: 'all', tenant: ['shop'], nobody: [] };

function put(
  state: State,
  namespace: string,
  name: string,
  hosts = [{ host: 'bank/pay', reason: 'learned' }],
  conditions: object[] = [],
): void {
  const status = { mode: 'enforce', hosts, conditions, proxies: {} };
  const metadata = { namespace, name, uid: name };
  const object = { apiVersion: 'lazyscope.io/v1alpha1', kind: 'WorkloadScope', metadata, status };
  state.scopes.set(readWorkloadScope(object));
}

async function serve({ ageMs = 60 * minute } = {}) {
  let clock = start + ageMs;
  const now = () => clock;
  const metrics = createControllerMetrics(new Registry());
  const state = createState({ clusterDomain: 'cluster.local', namespace: 'lazyscope-system' });
  const history = createHistory(start);
  for (const [namespace, name] of [
    ['shop', 'web'],
    ['shop', 'cart'],
    ['bank', 'pay'],
  ] as const) {
    put(state, namespace, name);
    const called = { namespace, workload: name, host: 'bank/pay.bank.svc.cluster.local' };
    history.edges.add(called, Math.max(start, clock - minute), 60);
    history.changes.add({ ...called, at: clock, kind: 'first-call', detail: 'gateway' });
  }
  const reviewed = { tokens: 0, rights: [] as string[] };
  const rights: typeof users = { ...users };
  const kube = {
    async tokenReview(token: string) {
      reviewed.tokens += 1;
      if (token === 'broken') throw new Error('secret of the API server');
      return { authenticated: token in rights, username: token };
    },
    async mayList(
      { username = '' }: { username?: string | undefined },
      _plural: string,
      namespace = '',
    ) {
      reviewed.rights.push(namespace);
      const allowed = rights[username] ?? [];
      return allowed === 'all' || allowed.includes(namespace);
    },
  };
  const namespaces = () => ['shop', 'bank'];
  const server = await startConsole({
    known: { scopes: state.scopes, history, now },
    metrics,
    access: createAccessCheck({ kube, metrics, namespaces, now }),
    ...{ pagePath: '/nowhere', host: '127.0.0.1', port: 0 },
  });
  closing.push(() => server.close());
  const address = server.server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  type More = Record<string, string>;
  const ask = (
    path: string,
    token?: string,
    more: More = {},
    method = 'GET',
    signal?: AbortSignal,
  ) =>
    fetch(`http://127.0.0.1:${port}${path}`, {
      ...{ method, ...(signal && { signal }) },
      headers: { ...(token && { authorization: `Bearer ${token}` }), ...more },
    });
  // biome-ignore lint/suspicious/noExplicitAny: what the test looks at differs by view.
  const view = async (path: string, token: string): Promise<any> =>
    (await ask(`/api/v1/${path}`, token)).json();
  const pass = (ms: number) => {
    clock += ms;
  };
  return { ask, view, history, state, reviewed, rights, pass };
}

const views = [
  ...['overview', 'workloads', 'workloads/shop/web', 'topology', 'advice', 'changes', 'events'],
];

test.each(views)('%s needs a token that the API server accepts', async (path) => {
  const { ask } = await serve();
  for (const [token, status, text] of [
    [undefined, 401, /bearer token is needed/],
    ['wrong', 401, /does not accept this token/],
    ['nobody', 403, /may not list workloadscopes/],
    ['broken', 503, /could not review/],
  ] as const) {
    const response = await ask(`/api/v1/${path}`, token);
    const body = await response.text();
    expect([response.status, body]).toEqual([status, expect.stringMatching(text)]);
    expect(body).not.toMatch(/secret|shop|bank/);
  }
});

test('a tenant sees its own workloads, and of others only the hosts that its own call', async () => {
  const { view, ask } = await serve();
  expect(
    (await view('workloads', 'tenant')).items.map(({ name }: { name: string }) => name),
  ).toEqual(['cart', 'web']);
  expect((await view('overview', 'tenant')).namespaces).toMatchObject([{ namespace: 'shop' }]);
  const { edges } = await view('topology?minutes=5', 'tenant');
  expect(edges.map(({ namespace, host }: Record<string, string>) => [namespace, host])).toEqual([
    ['shop', 'bank/pay.bank.svc.cluster.local'],
    ['shop', 'bank/pay.bank.svc.cluster.local'],
  ]);
  expect((await view('changes', 'tenant')).changes).toHaveLength(2);
  // A workload of another tenant looks as if it did not exist.
  const [hidden, none] = [
    await ask('/api/v1/workloads/bank/pay', 'tenant'),
    await ask('/api/v1/workloads/bank/none', 'tenant'),
  ];
  expect([hidden.status, await hidden.text()]).toEqual([none.status, await none.text()]);
  expect(hidden.status).toBe(404);
  expect((await view('topology?minutes=5', 'admin')).edges).toHaveLength(3);
});

test('rates are calls a second over what is known of the time that was asked for', async () => {
  const { view, pass } = await serve();
  const { edges } = await view('topology?minutes=2', 'admin');
  expect(edges[0].rate).toBeCloseTo(60 / 120, 5);
  pass(60 * minute);
  expect((await view('topology?minutes=2', 'admin')).edges).toEqual([]);
  expect((await view(`topology?minutes=2&at=${start + 60 * minute}`, 'admin')).edges).toHaveLength(
    3,
  );
});

test('a history of seconds shows the rate of these seconds, not of the span', async () => {
  const { view } = await serve({ ageMs: 20_000 });
  const { edges, covered } = await view('topology?minutes=5', 'admin');
  expect([covered, edges[0].rate]).toEqual([20_000, 3]);
});

test('one workload comes with its callers, of which a tenant sees only its own', async () => {
  const { view, state } = await serve();
  put(state, 'bank', 'pay', [{ host: 'bank/pay.bank.svc.cluster.local', reason: 'served' }]);
  const path = 'topology?minutes=5&namespace=bank&workload=pay';
  const callers = (found: { edges: { namespace: string; workload: string }[] }) =>
    found.edges.map(({ namespace, workload }) => `${namespace}/${workload}`).sort();
  expect(callers(await view(path, 'admin'))).toEqual(['bank/pay', 'shop/cart', 'shop/web']);
  expect(callers(await view(path, 'tenant'))).toEqual([]);
  const found = await view('workloads/bank/pay', 'admin');
  expect(callers({ edges: found.callers })).toEqual(['shop/cart', 'shop/web']);
  expect(found.yaml).toMatch(/^apiVersion: lazyscope.io\/v1alpha1\nkind: WorkloadScope\n/);
});

test('a workload that serves a host of many shows no caller that a user may not see', async () => {
  const { view, state, rights } = await serve();
  put(state, 'bank', 'pay', [{ host: 'bank/pay.bank.svc.cluster.local', reason: 'served' }]);
  rights.banker = ['bank'];
  expect((await view('workloads/bank/pay', 'banker')).callers).toEqual([]);
  const path = 'topology?minutes=5&namespace=bank&workload=pay';
  expect((await view(path, 'banker')).edges).toHaveLength(1);
});

test('sums by namespace count all pairs, not only those that an answer has room for', async () => {
  const { view, history } = await serve();
  const extra = answerBounds.edges + 5;
  for (let n = 0; n < extra; n++) {
    const host = n % 2 === 0 ? `bank/h${n}.bank.svc.cluster.local` : `bank/h${n}.example`;
    history.edges.add({ namespace: 'shop', workload: 'web', host }, start + 60 * minute, 1);
  }
  const { namespaces } = await view('topology?minutes=5&by=namespace', 'tenant');
  const sums = namespaces.map(({ to, pairs }: Record<string, unknown>) => [to, pairs]);
  expect(sums).toEqual([
    ['bank', 2 + Math.ceil(extra / 2)],
    ['', Math.floor(extra / 2)],
  ]);
});

test('a search finds pairs by their workload or host, of what the user may see', async () => {
  const { view } = await serve();
  const found = async (search: string, token: string) =>
    (await view(`topology?minutes=5&search=${search}`, token)).edges.length;
  expect([await found('PAY.bank', 'admin'), await found('pay.bank', 'tenant')]).toEqual([3, 2]);
  expect([await found('cart', 'admin'), await found('nothing', 'admin')]).toEqual([1, 0]);
});

test('a search finds workloads by their name, state, or a host of their scope', async () => {
  const { view, state } = await serve();
  put(state, 'shop', 'cron', [{ host: 'bank/Ledger.bank.svc.cluster.local', reason: 'learned' }]);
  const found = async (search: string) =>
    (await view(`workloads?search=${search}`, 'tenant')).items.map(
      ({ name }: { name: string }) => name,
    );
  expect(await found('ledger.bank')).toEqual(['cron']);
  expect(await found('shop/CART')).toEqual(['cart']);
  expect(await found('enforce')).toEqual(['cart', 'cron', 'web']);
});

test('advice says what stands in the way, by reason, of workloads that the user may see', async () => {
  const { view, state } = await serve();
  const ready = { type: 'Ready', status: 'False', reason: 'FilterMissing', message: 'No filter.' };
  for (const namespace of ['shop', 'bank']) put(state, namespace, 'web', [], [ready]);
  expect((await view('advice', 'admin')).findings).toEqual([
    {
      ...{ id: 'FilterMissing', severity: 'blocks', sentence: 'No filter.', count: 2 },
      subjects: ['shop/web', 'bank/web'],
    },
  ]);
  const { findings, elsewhere } = await view('advice', 'tenant');
  expect(findings[0].subjects).toEqual(['shop/web']);
  const verbs = elsewhere.map(({ command }: { command: string }) => command.split(' ')[1]);
  const files = readdirSync(join(import.meta.dirname, '../../../../command/verbs'));
  for (const verb of verbs) expect(files).toContain(`${verb}.ts`);
});

test('a right that was taken away or given counts within a minute', async () => {
  const { view, ask, rights, pass, reviewed } = await serve();
  for (let n = 0; n < 5; n++) expect((await view('workloads', 'tenant')).total).toBe(2);
  expect(reviewed.tokens).toBe(1);
  rights.tenant = ['bank'];
  pass(rememberedMs + 1);
  expect((await view('workloads', 'tenant')).total).toBe(1);
  rights.tenant = [];
  pass(rememberedMs + 1);
  expect((await ask('/api/v1/workloads', 'tenant')).status).toBe(403);
});

test('the API server is asked once about a user who may list everything', async () => {
  const { view, reviewed } = await serve();
  await view('overview', 'admin');
  expect(reviewed.rights).toEqual(['']);
  expect(namespacesMax).toBeLessThan(1_000);
});

test('an address that guesses tokens is stopped, and costs the API server little', async () => {
  const { ask, reviewed } = await serve();
  const statuses = [];
  for (let n = 0; n < 30; n++) statuses.push((await ask('/api/v1/overview', `guess-${n}`)).status);
  expect(reviewed.tokens).toBe(10);
  expect(statuses.slice(10).every((status) => status === 429)).toBe(true);
});

test('requests of one address are limited', async () => {
  const { ask } = await serve();
  const statuses = await Promise.all(
    Array.from({ length: 80 }, async () => (await ask('/')).status),
  );
  expect(statuses.filter((status) => status === 429)).toHaveLength(20);
});

test.each(['POST', 'PUT', 'PATCH', 'DELETE'])('nothing can be changed: %s', async (method) => {
  const { ask } = await serve();
  for (const path of views) {
    expect((await ask(`/api/v1/${path}`, 'admin', {}, method)).status).toBe(404);
  }
});

test('every answer forbids scripts, styles and requests of anybody else, frames and caches', async () => {
  const { ask } = await serve();
  for (const path of ['/', '/console.js', '/api/v1/overview', '/api/v1/events', '/none']) {
    const { headers } = await ask(path, path.endsWith('events') ? 'nobody' : 'admin');
    const policy = headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toMatch(/unsafe|\*|https?:|data:/);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
  }
});

test('answers are bounded', async () => {
  const { view, state, history } = await serve();
  for (let n = 0; n < answerBounds.workloads + 5; n++) put(state, 'shop', `w${n}`);
  for (let n = 0; n < answerBounds.edges + 5; n++) {
    history.edges.add(
      { namespace: 'shop', workload: 'web', host: `shop/h${n}` },
      start + 60 * minute,
      1,
    );
  }
  const first = await view('workloads', 'admin');
  expect([first.items.length, first.total]).toEqual([
    answerBounds.workloads,
    answerBounds.workloads + 8,
  ]);
  expect((await view(`workloads?offset=${answerBounds.workloads}`, 'admin')).items).toHaveLength(8);
  const found = await view('topology?minutes=5', 'admin');
  expect([found.edges.length, found.leftOut]).toEqual([answerBounds.edges, 8]);
});

test.each([
  'topology?minutes=-1&at=x',
  'topology?minutes=1e9',
  'changes?since=x&since=y',
  'workloads?offset=-5&sort=__proto__',
])('a senseless query is answered with what is usual: %s', async (path) => {
  const { ask } = await serve();
  expect((await ask(`/api/v1/${path}`, 'admin')).status).toBe(200);
});

/** Reads server-sent events until there are as many changes as wanted. */
async function read(response: Response, wanted: number): Promise<string[]> {
  const found: string[] = [];
  let text = '';
  for await (const part of response.body ?? []) {
    text += Buffer.from(part).toString();
    found.splice(0, found.length, ...[...text.matchAll(/^id: (\d+)$/gm)].map(([, id = '']) => id));
    if (found.length >= wanted) break;
  }
  return found;
}

test('events resume after a break, without a loss and without a repetition', async () => {
  const { ask, history } = await serve();
  const [first, ...rest] = history.changes.since(0).map(({ id }) => String(id));
  const resumed = await ask('/api/v1/events', 'admin', { 'last-event-id': first ?? '' });
  expect(resumed.headers.get('content-type')).toBe('text/event-stream');
  expect(await read(resumed, 2)).toEqual(rest);
  const fresh = await ask('/api/v1/events', 'tenant');
  await sleep(10);
  const told = { at: start, kind: 'first-call' as const, workload: 'w', host: 'h', detail: 'hold' };
  history.changes.add({ ...told, namespace: 'bank' });
  const { id } = history.changes.add({ ...told, namespace: 'shop' });
  expect(await read(fresh, 1)).toEqual([String(id)]);
});

test('a reader that missed many changes gets them in parts, each of them once', async () => {
  const { ask, history } = await serve();
  const told = { at: start, kind: 'first-call' as const, workload: 'w', host: 'h', detail: 'hold' };
  const ids = Array.from({ length: 2 * changesAtOnce + 7 }, () =>
    String(history.changes.add({ ...told, namespace: 'shop' }).id),
  );
  const first = String(Number(ids[0]) - 1);
  const missed = await ask('/api/v1/events', 'tenant', { 'last-event-id': first });
  expect(await read(missed, ids.length)).toEqual(ids);
});

test('changes are found by their time and place, the first or the last ones', async () => {
  const { view, history } = await serve({ ageMs: 0 });
  const told = { kind: 'first-call' as const, host: 'h', detail: 'hold' };
  for (let n = 0; n < answerBounds.changes + 50; n++) {
    const of = n % 2 === 0 ? { namespace: 'shop', workload: 'web' } : { namespace: 'bank' };
    history.changes.add({ ...told, workload: 'pay', ...of, at: start + n });
  }
  const times = async (query: string, token = 'admin') => {
    const { changes } = await view(`changes?${query}`, token);
    return changes.map(({ at }: { at: number }) => at - start);
  };
  expect(await times(`from=${start + 1}&to=${start + 4}`)).toEqual([1, 2, 3, 4]);
  expect(await times(`from=${start + 1}&order=first&limit=2`)).toEqual([1, 2]);
  expect(await times(`to=${start + 5}&namespace=shop&workload=web&limit=1`)).toEqual([4]);
  expect(await times(`to=${start + 5}&namespace=shop&workload=other`)).toEqual([]);
  expect(await times(`to=${start + 5}&limit=2`, 'tenant')).toEqual([2, 4]);
  expect(await times('limit=1000000')).toHaveLength(answerBounds.changes);
});

test('an address gets eight event streams, and a place again when one of them ends', async () => {
  const { ask } = await serve();
  const leaving = new AbortController();
  const open = (signal?: AbortSignal) => ask('/api/v1/events', 'admin', {}, 'GET', signal);
  await Promise.all([open(leaving.signal), ...Array.from({ length: 7 }, () => open())]);
  const refused = await open();
  expect([refused.status, await refused.text()]).toEqual([
    429,
    expect.stringContaining('at most 8 from one address'),
  ]);
  leaving.abort();
  await expect.poll(async () => (await open()).status).toBe(200);
});
