import { credentials, Metadata } from '@grpc/grpc-js';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterEach, expect, test, vi } from 'vitest';
import {
  type Answer,
  authorizationKey,
  type ControllerMessage,
  connectController,
  controllerServerName,
  type NodeMessage,
  type ProxyGone,
  type ProxyReport,
  type Question,
} from '../../../../companion/contract/rpc.ts';
import { createControllerMetrics } from '../../../../companion/controller/metrics.ts';
import { nodeBounds } from '../../../../companion/controller/nodes/bounds.ts';
import type { NodeHandlers } from '../../../../companion/controller/nodes/rated.ts';
import { startNodeServer } from '../../../../companion/controller/nodes/server.ts';
import { createNodes, type Nodes } from '../../../../companion/controller/nodes/streams.ts';
import { selfSigned } from '../../../../companion/controller/nodes/x509.ts';
import type { TokenReview } from '../../../../companion/kube/object.ts';

// These tests use real sockets and may run on a busy machine.
vi.setConfig({ testTimeout: 30_000 });
const eventually = <Found>(look: () => Found | Promise<Found>) =>
  vi.waitFor(look, { timeout: 20_000 });

const keys = selfSigned(controllerServerName, new Date(Date.now() - 60_000), 1);
const account = 'system:serviceaccount:lazyscope-system:lazyscope-node';
const closing: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const answer: Answer = {
  id: 0,
  strategy: 'direct',
  otherwise: '',
  sni: 'outbound_.80_._.cart.shop.svc.cluster.local',
  identities: ['spiffe://cluster.local/ns/shop/sa/cart'],
  ttlSeconds: 60,
  millisecondsSinceScopeWritten: 0,
  reason: '',
};

/** A JSON web token with the only field that anyone but the API server reads. */
const tokenUntil = (ms: number) =>
  `h.${Buffer.from(JSON.stringify({ exp: ms / 1000 })).toString('base64url')}.s`;

let clock = Date.parse('2026-01-01T00:00:00Z');

async function serve(
  review: TokenReview | ((token: string) => TokenReview),
  bounds: Partial<typeof nodeBounds> = {},
  onFollow: NodeHandlers['onFollow'] = () => () => undefined,
) {
  const heard: {
    reports: [string, ProxyReport][];
    gone: ProxyGone[];
    questions: Question[];
    streams: string[];
    features: [string, Record<string, string>][];
  } = {
    reports: [],
    gone: [],
    questions: [],
    streams: [],
    features: [],
  };
  const registry = new Registry();
  const nodes: Nodes = createNodes({
    kube: {
      tokenReview: async (token, audiences) => {
        expect(audiences).toEqual(['lazyscope']);
        return typeof review === 'function' ? review(token) : review;
      },
    },
    now: () => clock,
    nodeOfPod: (name) => ({ 'lazyscope-node-x': 'node-1' })[name],
    bounds: { ...nodeBounds, ...bounds },
    log: pino({ level: 'silent' }),
    metrics: createControllerMetrics(registry),
    namespace: 'lazyscope-system',
    onOpened: (node) => void heard.streams.push(`+${node}`),
    onClosed: (node) => void heard.streams.push(`-${node}`),
    onReport: (node, report) => void heard.reports.push([node, report]),
    onGone: (_node, gone) => void heard.gone.push(gone),
    onFeatures: (node, { labels }) => void heard.features.push([node, labels]),
    onFollow,
    onQuestion(_node, question) {
      if (question.pod === 'bug') throw new Error('a bug');
      heard.questions.push(question);
      return { ...answer, id: question.id };
    },
  });
  const server = await startNodeServer(nodes, keys, 0);
  closing.push(server.stop);
  async function metric(name: string): Promise<number> {
    const found = await registry.getSingleMetric(`lazyscope_controller_${name}`)?.get();
    return found?.values.reduce((sum, { value }) => sum + value, 0) ?? 0;
  }
  return { nodes, heard, port: server.port, metric };
}

function connect(port: number, token: string | undefined = 'token') {
  const client = connectController(
    `127.0.0.1:${port}`,
    credentials.createSsl(Buffer.from(keys.certificate)),
  );
  const metadata = new Metadata();
  if (token) metadata.set(authorizationKey, `Bearer ${token}`);
  const stream = client.connect(metadata);
  const received: ControllerMessage[] = [];
  stream.on('data', (message: ControllerMessage) => received.push(message));
  const ended = new Promise<string>((resolve) => {
    stream.on('error', (error) => resolve(error.message));
  });
  closing.push(() => {
    stream.cancel();
    client.close();
  });
  return {
    received,
    ended,
    /** Stops reading. */
    stop: () => void stream.pause(),
    end: () => stream.end(),
    send: (message: NodeMessage) => void stream.write(message),
  };
}

const boundTo = (node: string) => ({ 'authentication.kubernetes.io/node-name': [node] });
const ofPod = (pod: string) => ({ 'authentication.kubernetes.io/pod-name': [pod] });
const known: TokenReview = { authenticated: true, username: account, extra: boundTo('node-1') };
const hello = { hello: { node: 'node-1', version: 'test' } };
const call = { tcp: false, authority: 'cart', destination: '10.96.0.1:80' };

function question(id: number, pod = 'web'): NodeMessage {
  return { question: { id, namespace: 'shop', pod, podUid: 'u', call } };
}

test('a node that identifies itself gets its questions answered', async () => {
  const { port, heard, nodes } = await serve(known);
  const { send, received } = connect(port);
  send(hello);
  send(question(1));
  send(question(2));
  send({ features: { labels: { kernel: '6.18' } } });
  send({ gone: { namespace: 'shop', pod: 'web', podUid: 'u' } });
  await eventually(() => expect(received).toHaveLength(2));
  expect(received[0]?.answer).toEqual({ ...answer, retries: null, id: 1 });
  expect(received[1]?.answer?.id).toBe(2);
  await eventually(() => expect(heard.gone).toHaveLength(1));
  expect(heard.features).toEqual([['node-1', { kernel: '6.18' }]]);
  expect(heard.questions[0]?.call).toEqual(call);
  nodes.forget({ namespace: 'shop', pod: 'web' });
  await eventually(() => {
    expect(received[2]?.forget).toEqual({ namespace: 'shop', pod: 'web' });
  });
});

test('a message whose handler throws does not end the stream', async () => {
  const { port } = await serve(known);
  const { send, received } = connect(port);
  send(hello);
  send(question(1, 'bug'));
  send(question(2));
  await eventually(() => expect(received.map(({ answer }) => answer?.id)).toEqual([2]));
});

test.each<[string, TokenReview, NodeMessage, RegExp]>([
  ['an unknown token', { authenticated: false, error: 'expired' }, hello, /bad token.*expired/],
  ['another account', { ...known, username: 'system:serviceaccount:a:b' }, hello, /wrong account/],
  ['a token of another node', { ...known, extra: boundTo('node-2') }, hello, /wrong node/],
  ['a token of no pod', { ...known, extra: {} }, hello, /PERMISSION_DENIED.*unbound token/],
  ['a token of a pod that is not there', { ...known, extra: ofPod('gone') }, hello, /unbound/],
  ['anything before hello', known, question(1), /FAILED_PRECONDITION.*no hello/],
])('%s is refused', async (_what, review, first, expected) => {
  const { port, heard } = await serve(review);
  const { send, ended, received } = connect(port);
  send(first);
  send(question(2));
  expect(await ended).toMatch(expected);
  expect({ received, heard: heard.questions }).toEqual({ received: [], heard: [] });
});

test('a stream without a token is refused', async () => {
  const { port } = await serve(known);
  const { send, ended } = connect(port, '');
  send(hello);
  expect(await ended).toMatch(/UNAUTHENTICATED.*no token/);
});

test('a token that names its pod but no node, as before Kubernetes 1.30, is accepted', async () => {
  const { port } = await serve({ ...known, extra: ofPod('lazyscope-node-x') });
  const { send, received } = connect(port);
  send(hello);
  send(question(1));
  await eventually(() => expect(received).toHaveLength(1));
});

test('a stream ends with its token, unless the node sends a newer token', async () => {
  const { port, nodes } = await serve(known);
  const end = clock + 600_000;
  const [idle, renewed] = [connect(port, tokenUntil(end)), connect(port, tokenUntil(end))];
  for (const { send } of [idle, renewed]) {
    send(hello);
    send(question(1));
  }
  await eventually(() => {
    expect([idle.received.length, renewed.received.length]).toEqual([1, 1]);
  });
  renewed.send({ renew: { token: tokenUntil(end + 600_000) } });
  renewed.send(question(2));
  await eventually(() => expect(renewed.received).toHaveLength(2));
  nodes.expire();
  clock = end + 1;
  nodes.expire();
  expect(await idle.ended).toMatch(/UNAUTHENTICATED.*expired token/);
  renewed.send(question(3));
  await eventually(() => expect(renewed.received).toHaveLength(3));
});

test('a stream ends when it sends the token of another node or an invalid token', async () => {
  const { port } = await serve((token) =>
    token === 'other' ? { ...known, extra: boundTo('node-2') } : known,
  );
  const { send, ended } = connect(port);
  send(hello);
  send({ renew: { token: 'other' } });
  expect(await ended).toMatch(/wrong node/);
});

test('a token that is valid for years is trusted for an hour', async () => {
  const { port, nodes } = await serve(known);
  const { send, ended, received } = connect(port, tokenUntil(clock + 1e12));
  send(hello);
  send(question(1));
  await eventually(() => expect(received).toHaveLength(1));
  clock += 3_600_001;
  nodes.expire();
  expect(await ended).toMatch(/expired token/);
});

test('token reviews for one address are limited', async () => {
  const reviewRate = { perSecond: 0.001, burst: 3 };
  let reviews = 0;
  const bad = () => {
    reviews += 1;
    return { authenticated: false };
  };
  const { port } = await serve(bad, { reviewRate });
  const ends = [];
  for (let n = 0; n < 6; n++) ends.push(await connect(port, `guess-${n}`).ended);
  expect(reviews).toBe(3);
  expect(
    ends.slice(3).filter((end) => /RESOURCE_EXHAUSTED.*too many tokens/.test(end)),
  ).toHaveLength(3);
});

test('one node may have a few streams, and another node still gets its own', async () => {
  const nodeOf = (token: string) => ({ ...known, extra: boundTo(token) });
  const { port } = await serve(nodeOf, { streamsPerNode: 2 });
  const open = async (node: string) => {
    const { send, received, ended } = connect(port, node);
    send({ hello: { node, version: 'test' } });
    send(question(1));
    const answered = eventually(() => expect(received).toHaveLength(1)).then(() => 'answered');
    return Promise.race([ended, answered]);
  };
  await open('node-1');
  await open('node-1');
  expect(await open('node-1')).toMatch(/too many streams of the node/);
  expect(await open('node-2')).toBe('answered');
});

test('a node that never reads its answers gets no more answers, and other nodes do', async () => {
  const questionRate = { perSecond: 1, burst: 1e6 };
  const { port, metric } = await serve(known, { answersWaiting: 100, questionRate });
  const { send, stop } = connect(port);
  stop();
  send(hello);
  for (let id = 1; id < 20_000; id++) send(question(id));
  await eventually(async () => {
    expect(await metric('messages_dropped_total')).toBeGreaterThan(1_000);
  });
  const other = connect(port);
  other.send(hello);
  other.send(question(1));
  await eventually(() => expect(other.received).toHaveLength(1));
});

test('refused streams leave nothing behind', async () => {
  const { port, metric } = await serve({ authenticated: false });
  await Promise.all([connect(port, 'a').ended, connect(port, 'b').ended]);
  await eventually(async () => expect(await metric('node_streams')).toBe(0));
});

test('a node counts as connected from its hello to the end of its stream, and no other stream counts', async () => {
  const { port, heard } = await serve(known);
  const { send, end } = connect(port);
  send(hello);
  await eventually(() => expect(heard.streams).toEqual(['+node-1']));
  end();
  await eventually(() => expect(heard.streams).toEqual(['+node-1', '-node-1']));
  await connect(port, 'a').ended;
  expect(heard.streams).toHaveLength(2);
});

const report = (pod: string): NodeMessage => ({
  report: {
    ...{ namespace: 'shop', pod, podUid: `uid-${pod}`, filterVersion: '1', overflow: 0 },
    ...{ edges: [], secondsSinceHeartbeat: 0 },
  },
});
const farewell = (pod: string): NodeMessage => ({
  gone: { namespace: 'shop', pod, podUid: `uid-${pod}` },
});
const soonFull = { perSecond: 8, burst: 2 };

test('questions above the rate of a node get no answer, and take nothing from its reports', async () => {
  const { port, heard, metric } = await serve(known, {
    questionRate: { ...soonFull, perSecond: 0.001 },
  });
  const { send, received } = connect(port);
  send(hello);
  for (let id = 1; id < 10; id++) send(question(id));
  for (const pod of ['a', 'b', 'c']) send(report(pod));
  await eventually(() => expect(heard.reports).toHaveLength(3));
  expect(received).toHaveLength(2);
  expect(await metric('messages_dropped_total')).toBe(7);
});

test('reports above the rate of a node come later, and take nothing from its questions', async () => {
  const { port, heard, nodes, metric } = await serve(known, { reportRate: soonFull });
  const { send, received } = connect(port);
  send(hello);
  // A pod that reports often is asked for once.
  for (const pod of ['a', 'b', 'c', 'd', 'd', 'd']) send(report(pod));
  send(farewell('e'));
  send(question(1));
  await eventually(() => expect(received).toHaveLength(1));
  expect(heard.reports.map(([, { pod }]) => pod)).toEqual(['a', 'b']);
  expect(heard.gone).toEqual([]);
  expect(await metric('messages_later_total')).toBe(5);
  nodes.repay();
  await eventually(() => expect(received).toHaveLength(3));
  expect(received.slice(1)).toEqual([
    expect.objectContaining({ forget: { namespace: 'shop', pod: 'c' } }),
    expect.objectContaining({ forget: { namespace: 'shop', pod: 'd' } }),
  ]);
  expect(heard.gone).toEqual([{ namespace: 'shop', pod: 'e', podUid: 'uid-e' }]);
  nodes.repay();
  expect(await metric('messages_dropped_total')).toBe(0);
});

test('a node that reports for more pods than a node has loses the rest, counted', async () => {
  const { port, metric } = await serve(known, { reportRate: soonFull, owedPods: 3 });
  const { send } = connect(port);
  send(hello);
  for (let pod = 0; pod < 10; pod++) send(report(`pod-${pod}`));
  await eventually(async () => expect(await metric('messages_dropped_total')).toBe(5));
});

test('a stream that is closed before its hello is not refused', async () => {
  const { port, metric } = await serve(known, { helloMs: 300 });
  const { end } = connect(port);
  await eventually(async () => expect(await metric('node_streams')).toBe(1));
  end();
  await eventually(async () => expect(await metric('node_streams')).toBe(0));
  await new Promise((resolve) => setTimeout(resolve, 400));
  expect(await metric('streams_refused_total')).toBe(0);
});

test('a node that follows gets the catalog on its stream until the stream ends, and follows at a bounded rate', async () => {
  const ended: string[] = [];
  const part = { cleared: [], removed: [], packs: [], complete: true, refused: '', followId: 7 };
  const sent = { ...part, records: [{ key: 'mesh', text: '{}' }] };
  const { port, metric } = await serve(
    known,
    { followRate: { perSecond: 0, burst: 2 } },
    (node, follow, send) => {
      send({ ...sent, removed: [`${node} ${follow.layout} ${follow.digests.length}`] });
      return () => void ended.push(node);
    },
  );
  const { send, received, end } = connect(port);
  send(hello);
  for (let n = 0; n < 3; n++) send({ follow: { layout: 1, digests: new Uint8Array(8), id: 7 } });
  await eventually(() => expect(received).toHaveLength(2));
  expect(received[0]?.catalog).toEqual({ ...sent, removed: ['node-1 1 8'] });
  await eventually(async () => expect(await metric('messages_dropped_total')).toBe(1));
  expect(ended).toEqual(['node-1']);
  end();
  await eventually(() => expect(ended).toEqual(['node-1', 'node-1']));
});
