import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { KubeObject, Resource, Watch } from '../../../../companion/kube/object.ts';
import {
  type Answer,
  type Request,
  reply,
  type ScriptedApi,
  startScriptedApi,
} from './scripted-api.ts';

let api: ScriptedApi;
let watch: Watch | undefined;

beforeEach(async () => {
  api = await startScriptedApi();
});

afterEach(async () => {
  watch?.stop();
  watch = undefined;
  await api.stop();
});

const pods = { group: '', version: 'v1', plural: 'pods' };

function podOf(name: string, version: number, uid = name): KubeObject {
  const metadata = { namespace: 'shop', name, uid, resourceVersion: String(version) };
  return { metadata } as KubeObject;
}

function listOf(version: number, items: KubeObject[], next = '') {
  const metadata = { resourceVersion: String(version), continue: next };
  return { apiVersion: 'v1', kind: 'PodList', metadata, items };
}

function event(type: string, object: unknown): string {
  return `${JSON.stringify({ type, object })}\n`;
}

const isWatch = ({ url }: Request) => url.searchParams.get('watch') === 'true';

/** The answers to lists and to watches, in order. The last answer repeats. */
function script(lists: Answer[], watches: Answer[]): void {
  api.answer = (request, response) => {
    const queue = isWatch(request) ? watches : lists;
    const [next] = queue.length > 1 ? queue.splice(0, 1) : queue;
    next?.(request, response);
  };
}

function follow(resource: Resource = pods) {
  const seen: string[] = [];
  const present = new Set<string>();
  watch = api.kube.watch(resource, {
    upsert({ kind, metadata }) {
      seen.push(`+${metadata.name}`);
      present.add(`${kind} ${metadata.name}`);
    },
    remove({ kind, metadata }) {
      seen.push(`-${metadata.name}`);
      present.delete(`${kind} ${metadata.name}`);
    },
    synced: (isAbsent) => seen.push(isAbsent ? 'absent' : 'synced'),
  });
  return { seen, present, watch };
}

const silent: Answer = (_request, response) => void response.writeHead(200).flushHeaders();

test('a list in pages and later events give all objects, with the kind that lists leave out', async () => {
  const pages: Answer[] = [
    (_request, response) => reply(response, 200, listOf(5, [podOf('a', 1)], 'more')),
    (_request, response) => reply(response, 200, listOf(5, [podOf('b', 2)])),
  ];
  script(pages, [
    (_request, response) => {
      response.writeHead(200);
      response.write(event('ADDED', { ...podOf('c', 6), kind: 'Pod' }));
      response.write(event('DELETED', { ...podOf('a', 7), kind: 'Pod' }));
    },
    silent,
  ]);
  const { seen, present, watch } = follow();
  await watch.synced;
  expect(seen).toEqual(['+a', '+b', 'synced']);
  await vi.waitFor(() => expect([...present]).toEqual(['Pod b', 'Pod c']));
  expect(api.requests[1]?.url.searchParams.get('continue')).toBe('more');
  expect(api.requests[2]?.url.searchParams.get('resourceVersion')).toBe('5');
});

test('a watch that ends continues at its last version, without a new list', async () => {
  script(
    [(_request, response) => reply(response, 200, listOf(5, [podOf('a', 1)]))],
    [
      (_request, response) => {
        response.writeHead(200);
        response.end(event('BOOKMARK', { kind: 'Pod', metadata: { resourceVersion: '9' } }));
      },
      silent,
    ],
  );
  const { seen, watch } = follow();
  await watch.synced;
  await vi.waitFor(() => expect(api.requests.filter(isWatch)).toHaveLength(2));
  expect(api.requests.filter(isWatch)[1]?.url.searchParams.get('resourceVersion')).toBe('9');
  expect(seen).toEqual(['+a', 'synced']);
});

const gone = { kind: 'Status', code: 410, message: 'too old resource version' };

test.each<[string, Answer]>([
  ['as a status', (_request, response) => reply(response, 410, gone)],
  [
    'as an event',
    (_request, response) => {
      response.writeHead(200);
      response.end(event('ERROR', gone));
    },
  ],
])(
  '410 %s leads to a new list, which shows deleted and re-created objects',
  async (_how, expired) => {
    script(
      [
        (_request, response) =>
          reply(response, 200, listOf(5, [podOf('a', 1), podOf('b', 2), podOf('c', 3)])),
        (_request, response) =>
          reply(response, 200, listOf(9, [podOf('a', 1), podOf('b', 8, 'another b')])),
      ],
      [expired, silent],
    );
    const { seen } = follow();
    await vi.waitFor(() => expect(seen.filter((what) => what === 'synced')).toHaveLength(2));
    expect(seen.slice(4)).toEqual(['+a', '-b', '+b', '-c', 'synced']);
  },
);

test('a kind that the cluster does not have gives no objects and no error until it exists', async () => {
  const absent: Answer = (_request, response) =>
    reply(response, 404, { message: 'the server could not find the requested resource' });
  script(
    [
      absent,
      absent,
      (_request, response) => reply(response, 200, listOf(5, [podOf('a', 1)])),
      absent,
    ],
    [absent, silent],
  );
  const { seen, watch } = follow({ ...pods, optional: true });
  await watch.synced;
  await vi.waitFor(() => expect(seen).toContain('+a'), 5_000);
  // The CustomResourceDefinition is deleted, and every object with it.
  await vi.waitFor(() => expect(seen).toContain('-a'), 5_000);
  expect(seen.slice(0, 6)).toEqual(['absent', 'absent', '+a', 'synced', '-a', 'absent']);
  for (const name of ['watches_broken_total', 'kube_requests_failed_total']) {
    const metric = await api.registry.getSingleMetric(`lazyscope_${name}`)?.get();
    expect(metric?.values).toEqual([]);
  }
});

test('after a failed connection, a refusal or an invalid answer the watch tries again', async () => {
  script(
    [
      (_request, response) => void response.destroy(),
      (_request, response) => reply(response, 401, { message: 'expired token' }),
      (_request, response) => void response.end('nonsense'),
      (_request, response) => reply(response, 200, listOf(5, [podOf('a', 1)])),
    ],
    [(_request, response) => void response.end('{"type":'), silent],
  );
  const { seen, watch } = follow();
  await watch.synced;
  expect(seen).toEqual(['+a', 'synced']);
  await vi.waitFor(() => expect(api.requests.filter(isWatch).length).toBeGreaterThan(1), 5_000);
  const broken = await api.registry.getSingleMetric('lazyscope_watches_broken_total')?.get();
  expect(broken?.values).toEqual([{ labels: { resource: 'pods' }, value: 3 }]);
});

test('after an outage in which the server lost its history the watch lists at once', async () => {
  const away: Answer = (_request, response) => void response.destroy();
  let backAt = 0;
  const expired: Answer = (_request, response) => {
    backAt = performance.now();
    reply(response, 410, gone);
  };
  script(
    [(_request, response) => reply(response, 200, listOf(5, [podOf('a', 1)]))],
    [away, away, away, away, expired, silent],
  );
  const { seen } = follow();
  await vi.waitFor(() => expect(seen.filter((what) => what === 'synced')).toHaveLength(2), 10_000);
  // The pause after a fourth failure would be at least 1.6 s.
  expect(performance.now() - backAt).toBeLessThan(1_000);
});

test('the watch pauses between attempts while the server expires each list too early', async () => {
  script(
    [(_request, response) => reply(response, 200, listOf(5, [podOf('a', 1)]))],
    [(_request, response) => reply(response, 410, gone)],
  );
  follow();
  await sleep(1_500);
  // Pauses of at least 0.1, 0.1, 0.2, 0.4 and 0.8 s.
  expect(api.requests.filter(isWatch).length).toBeLessThanOrEqual(5);
});

test('a handler that throws for one object still gets the next object', async () => {
  script(
    [(_request, response) => reply(response, 200, listOf(5, [podOf('bad', 1), podOf('good', 2)]))],
    [silent],
  );
  const seen: string[] = [];
  watch = api.kube.watch(pods, {
    upsert({ metadata: { name } }) {
      if (name === 'bad') throw new Error('a bug');
      seen.push(name);
    },
    remove: () => undefined,
  });
  await watch.synced;
  expect(seen).toEqual(['good']);
});

/** How each list was asked for: the version that is good enough, or pages of the current one. */
function listsAsked(): string[] {
  return api.requests
    .filter((request) => !isWatch(request))
    .map(({ url }) => {
      const { resourceVersion, resourceVersionMatch, limit } = Object.fromEntries(url.searchParams);
      return limit
        ? `pages of ${limit}, ${resourceVersion ?? 'current'}`
        : `${resourceVersionMatch} ${resourceVersion}`;
    });
}
const forgotten: Answer = (_request, response) => {
  response.writeHead(200);
  response.end(event('ERROR', gone));
};
const cached: Resource = { ...pods, fieldSelector: 'spec.nodeName=node-1', cached: true };

test('a watch on each node lists from the cache, and never sees older state than before', async () => {
  const moved: Answer = (_request, response) => {
    response.writeHead(200);
    response.end(event('ADDED', podOf('b', 9)) + event('ERROR', gone));
  };
  script(
    [
      (_request, response) => reply(response, 200, listOf(5, [podOf('a', 1)])),
      (_request, response) => reply(response, 200, listOf(12, [podOf('a', 1)])),
    ],
    [moved, silent],
  );
  const { seen } = follow(cached);
  await vi.waitFor(() => expect(seen).toEqual(['+a', 'synced', '+b', '+a', '-b', 'synced']));
  expect(listsAsked()).toEqual(['NotOlderThan 0', 'NotOlderThan 9']);
});

test.each([
  [504, 'Too large resource version: 5, current: 3', 'pages of 250, current'],
  [504, 'gateway timeout', 'NotOlderThan 5'],
  [503, 'etcd is away', 'NotOlderThan 5'],
])('after %i "%s" a watch on each node lists %s', async (status, message, next) => {
  script(
    [
      (_request, response) => reply(response, 200, listOf(5, [podOf('a', 1)])),
      (_request, response) => reply(response, status, { message }),
      (_request, response) => reply(response, 200, listOf(7, [podOf('c', 1)])),
    ],
    [forgotten, silent],
  );
  const { present } = follow(cached);
  await vi.waitFor(() => expect([...present]).toEqual(['Pod c']), 5_000);
  expect(listsAsked()).toEqual(['NotOlderThan 0', 'NotOlderThan 5', next]);
});

test('a watch of all objects lists the current state in pages', async () => {
  script([(_request, response) => reply(response, 200, listOf(5, []))], [forgotten, silent]);
  const { seen } = follow();
  await vi.waitFor(() => expect(seen).toEqual(['synced', 'synced']));
  expect(listsAsked()).toEqual(['pages of 250, current', 'pages of 250, current']);
});
