import { credentials, Metadata } from '@grpc/grpc-js';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterEach, expect, test, vi } from 'vitest';
import { createControllerMetrics } from '../../../../companion/controller/metrics.ts';
import {
  createNodes,
  type Nodes,
  startNodeServer,
} from '../../../../companion/controller/nodes.ts';
import { selfSigned } from '../../../../companion/controller/self-signed.ts';
import type { TokenReview } from '../../../../companion/kube.ts';
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
} from '../../../../companion/rpc.ts';

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

async function serve(review: TokenReview) {
  const heard: { reports: [string, ProxyReport][]; gone: ProxyGone[]; questions: Question[] } = {
    reports: [],
    gone: [],
    questions: [],
  };
  const nodes: Nodes = createNodes({
    kube: { tokenReview: async () => review },
    log: pino({ level: 'silent' }),
    metrics: createControllerMetrics(new Registry()),
    namespace: 'lazyscope-system',
    onReport: (node, report) => void heard.reports.push([node, report]),
    onGone: (_node, gone) => void heard.gone.push(gone),
    onQuestion(_node, question) {
      if (question.pod === 'bug') throw new Error('a bug');
      heard.questions.push(question);
      return { ...answer, id: question.id };
    },
  });
  const server = await startNodeServer(nodes, keys, 0);
  closing.push(server.stop);
  return { nodes, heard, port: server.port };
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
    send: (message: NodeMessage) => void stream.write(message),
  };
}

const known: TokenReview = { authenticated: true, username: account };
const hello = { hello: { node: 'node-1', version: 'test' } };
const call = { tcp: false, authority: 'cart', destination: '10.96.0.1:80' };

function question(id: number, pod = 'web'): NodeMessage {
  return { question: { id, namespace: 'shop', pod, podUid: 'u', call, held: false } };
}

test('a node that says who it is gets its questions answered', async () => {
  const { port, heard, nodes } = await serve(known);
  const { send, received } = connect(port);
  send(hello);
  send(question(1));
  send(question(2));
  send({ gone: { namespace: 'shop', pod: 'web', podUid: 'u' } });
  await vi.waitFor(() => expect(received).toHaveLength(2));
  expect(received[0]?.answer).toEqual({ ...answer, id: 1 });
  expect(received[1]?.answer?.id).toBe(2);
  await vi.waitFor(() => expect(heard.gone).toHaveLength(1));
  expect(heard.questions[0]?.call).toEqual(call);
  nodes.forget({ namespace: 'shop', pod: 'web' });
  await vi.waitFor(() => {
    expect(received[2]?.forget).toEqual({ namespace: 'shop', pod: 'web' });
  });
});

test('a message that meets a bug does not end the stream', async () => {
  const { port } = await serve(known);
  const { send, received } = connect(port);
  send(hello);
  send(question(1, 'bug'));
  send(question(2));
  await vi.waitFor(() => expect(received.map(({ answer }) => answer?.id)).toEqual([2]));
});

const bound = { 'authentication.kubernetes.io/node-name': ['node-2'] };

test.each<[string, TokenReview, NodeMessage, RegExp]>([
  [
    'a token that nobody knows',
    { authenticated: false, error: 'expired' },
    hello,
    /bad token.*expired/,
  ],
  ['another account', { ...known, username: 'system:serviceaccount:a:b' }, hello, /wrong account/],
  ['a token of another node', { ...known, extra: bound }, hello, /wrong node/],
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
