import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import {
  connectKube,
  isKubeError,
  type Kube,
  type KubeObject,
  type Watch,
} from '../../../../companion/kube.ts';

/** Speaks HTTP as an API server does: the real client against scripted answers. */
type Request = { method: string; url: URL; headers: IncomingMessage['headers']; body: string };
type Answer = (request: Request, response: ServerResponse) => void;

let folder: string;
let server: Server;
let kube: Kube;
let watch: Watch | undefined;
let requests: Request[];
let answer: Answer;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kube-'));
  requests = [];
  server = createServer(async (incoming, response) => {
    let body = '';
    for await (const chunk of incoming) body += chunk;
    const url = new URL(incoming.url ?? '', 'http://localhost');
    const request = { method: incoming.method ?? '', url, headers: incoming.headers, body };
    requests.push(request);
    answer(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const kubeconfigPath = join(folder, 'config.json');
  const cluster = { server: `http://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true };
  const tokenFile = join(folder, 'token');
  writeFileSync(tokenFile, 'one');
  const user = { 'auth-provider': { name: 'tokenFile', config: { tokenFile } } };
  writeFileSync(
    kubeconfigPath,
    JSON.stringify({
      clusters: [{ name: 'c', cluster }],
      users: [{ name: 'u', user }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    }),
  );
  kube = connectKube({ log: pino({ level: 'silent' }), kubeconfigPath });
});

afterEach(async () => {
  watch?.stop();
  watch = undefined;
  await kube.close();
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true });
});

const pods = { group: '', version: 'v1', plural: 'pods' };

function podOf(name: string, version: number, uid = name): KubeObject {
  const metadata = { namespace: 'shop', name, uid, resourceVersion: String(version) };
  return { metadata } as KubeObject;
}

function reply(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function listOf(version: number, items: KubeObject[], next = '') {
  const metadata = { resourceVersion: String(version), continue: next };
  return { apiVersion: 'v1', kind: 'PodList', metadata, items };
}

function event(type: string, object: unknown): string {
  return `${JSON.stringify({ type, object })}\n`;
}

const isWatch = ({ url }: Request) => url.searchParams.get('watch') === 'true';

/** Lists and watches are answered from these, in turn; the last one stands. */
function script(lists: Answer[], watches: Answer[]): void {
  answer = (request, response) => {
    const queue = isWatch(request) ? watches : lists;
    const [next] = queue.length > 1 ? queue.splice(0, 1) : queue;
    next?.(request, response);
  };
}

function follow() {
  const seen: string[] = [];
  const present = new Set<string>();
  watch = kube.watch(pods, {
    upsert({ kind, metadata }) {
      seen.push(`+${metadata.name}`);
      present.add(`${kind} ${metadata.name}`);
    },
    remove({ kind, metadata }) {
      seen.push(`-${metadata.name}`);
      present.delete(`${kind} ${metadata.name}`);
    },
    synced: () => seen.push('synced'),
  });
  return { seen, present, watch };
}

const silent: Answer = (_request, response) => void response.writeHead(200).flushHeaders();

test('a list in pages and then events make the picture, with the kind that lists leave out', async () => {
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
  expect(requests[1]?.url.searchParams.get('continue')).toBe('more');
  expect(requests[2]?.url.searchParams.get('resourceVersion')).toBe('5');
});

test('a watch that ends goes on from where it was, without a new list', async () => {
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
  await vi.waitFor(() => expect(requests.filter(isWatch)).toHaveLength(2));
  expect(requests.filter(isWatch)[1]?.url.searchParams.get('resourceVersion')).toBe('9');
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
  '410 %s leads to a new list, which says what has gone and what was made anew',
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

test('a server that is away, refuses, or talks nonsense is asked again', async () => {
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
  await vi.waitFor(() => expect(requests.filter(isWatch).length).toBeGreaterThan(1), 5_000);
});

test('a handler that throws at one object still gets the next', async () => {
  script(
    [(_request, response) => reply(response, 200, listOf(5, [podOf('bad', 1), podOf('good', 2)]))],
    [silent],
  );
  const seen: string[] = [];
  watch = kube.watch(pods, {
    upsert({ metadata: { name } }) {
      if (name === 'bad') throw new Error('a bug');
      seen.push(name);
    },
    remove: () => undefined,
  });
  await watch.synced;
  expect(seen).toEqual(['good']);
});

test('requests carry the token of the file', async () => {
  answer = (_request, response) => reply(response, 200, {});
  await kube.get(pods, 'a', 'shop');
  expect(requests[0]?.headers.authorization).toBe('Bearer one');
});

test('apply is a server-side apply with a named manager', async () => {
  answer = (_request, response) => reply(response, 200, {});
  const sidecar: KubeObject = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'Sidecar',
    metadata: { name: 'web', namespace: 'shop' },
  };
  await kube.apply(sidecar, { fieldManager: 'lazyscope', force: true, subresource: 'status' });
  const [request] = requests;
  expect(request?.method).toBe('PATCH');
  expect(request?.headers['content-type']).toBe('application/apply-patch+yaml');
  expect(request?.url.pathname).toBe(
    '/apis/networking.istio.io/v1/namespaces/shop/sidecars/web/status',
  );
  expect(Object.fromEntries(request?.url.searchParams ?? [])).toEqual({
    fieldManager: 'lazyscope',
    force: 'true',
  });
});

test('what is not there is nothing to get and already deleted', async () => {
  answer = (_request, response) => reply(response, 404, { message: 'not found' });
  expect(await kube.get(pods, 'a', 'shop')).toBeUndefined();
  await expect(kube.delete(pods, 'a', 'shop')).resolves.toBeUndefined();
});

test('an error says what was asked and what the server answered', async () => {
  answer = (_request, response) => reply(response, 409, { message: 'object was modified' });
  const lease: KubeObject = {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: 'l', namespace: 'shop' },
  };
  const error = await kube.replace(lease).catch((caught: unknown) => caught);
  expect(isKubeError(error, 409)).toBe(true);
  expect(String(error)).toMatch(
    /PUT \/apis\/coordination.k8s.io\/v1\/namespaces\/shop\/leases\/l: 409: object was modified/,
  );
});

test('a request that gets no answer in its time fails', async () => {
  answer = () => undefined;
  const lease: KubeObject = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' } };
  await expect(kube.apply(lease, { fieldManager: 'x', timeoutMs: 20 })).rejects.toThrow(
    /no answer/,
  );
});

test('a token review says who it is and what the token is bound to', async () => {
  const user = { username: 'system:serviceaccount:a:b', extra: { key: ['value'] } };
  answer = (_request, response) => reply(response, 201, { status: { authenticated: true, user } });
  expect(await kube.tokenReview('t', ['lazyscope'])).toEqual({ authenticated: true, ...user });
  expect(JSON.parse(requests[0]?.body ?? '').spec).toEqual({
    token: 't',
    audiences: ['lazyscope'],
  });
});

test('a kubeconfig without a current cluster is refused by its path', () => {
  const path = join(folder, 'empty.json');
  writeFileSync(path, '{}');
  const options = { log: pino({ level: 'silent' }), kubeconfigPath: path };
  expect(() => connectKube(options)).toThrow(/empty\.json: no current cluster/);
});
