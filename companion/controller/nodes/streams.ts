import { status } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { createRateLimit, type RateLimit } from '../../bounds/rate.ts';
import {
  type Answer,
  authorizationKey,
  type ControllerHandlers,
  type ControllerStream,
  type NodeMessage,
  type ProxyGone,
  type ProxyReport,
  type Question,
} from '../../contract/rpc.ts';
import { messageOf } from '../../frame/errors.ts';
import type { ControllerMetrics } from '../metrics.ts';
import { type IdentifyOptions, identify, type NodeIdentity, StreamRefusal } from './identity.ts';

/** Handlers for the messages of a node companion. */
export type NodeHandlers = {
  /** A stream of the node is accepted from now on, or no longer. */
  onOpened(node: string): void;
  onClosed(node: string): void;
  onReport(node: string, report: ProxyReport): void;
  onGone(node: string, gone: ProxyGone): void;
  /** Answers at once. */
  onQuestion(node: string, question: Question): Answer;
};

export type NodesOptions = NodeHandlers &
  IdentifyOptions & { log: Logger; metrics: ControllerMetrics; bounds?: typeof nodeBounds };

export type Nodes = {
  /** Asks every connected node to send its data about a pod again. */
  forget(pod: { namespace: string; pod: string }): void;
  /** Ends the streams whose token has expired, because others may have the token by now. */
  expire(): void;
  connect: ControllerHandlers['connect'];
};

export const nodeBounds = {
  /** Kubernetes supports 5,000 nodes; more streams than that are not node companions. */
  streams: 5_000,
  /**
   * One; two while a DaemonSet rolls out; and those of lost connections until keepalive detects
   * them.
   */
  streamsPerNode: 8,
  /** Tokens reviewed at once: each is a request to the API server. */
  reviews: 256,
  /** Reviews for one address: a companion shows one token when it connects. */
  reviewRate: { perSecond: 1, burst: 40 },
  /**
   * Less than 500 pods that ask and report at their full rate; messages above the rate are dropped
   * and counted.
   */
  messageRate: { perSecond: 5_000, burst: 20_000 },
  /**
   * Answers that a node has not read yet; at most 3 KB each. A node that reads none gets no more.
   */
  answersWaiting: 1_024,
  /** A node companion sends its hello at once. */
  helloMs: 5_000,
};

/** A refused stream counts until it is closed, because its peer may be slow to read the reason. */
type Speaker = { identity: NodeIdentity | undefined; refused: boolean };

type StreamTable = NodesOptions & {
  bounds: typeof nodeBounds;
  streams: Map<ControllerStream, Speaker>;
  reviews: number;
  reviewRate: RateLimit;
  messageRate: RateLimit;
};

/** Serves the node companions, each on its own stream. */
export function createNodes(options: NodesOptions): Nodes {
  const { bounds = nodeBounds, now, metrics } = options;
  const steady = () => performance.now();
  const state: StreamTable = {
    ...options,
    bounds,
    streams: new Map(),
    reviews: 0,
    reviewRate: createRateLimit(bounds.reviewRate, steady),
    messageRate: createRateLimit(bounds.messageRate, steady),
  };
  const { streams } = state;

  function connect(stream: ControllerStream): void {
    if (streams.size >= bounds.streams) {
      refuse(state, stream, tooMany('too many streams', `limit ${bounds.streams}`));
      return;
    }
    streams.set(stream, { identity: undefined, refused: false });
    metrics.streams.set(streams.size);
    const close = () => {
      const node = streams.get(stream)?.identity?.node;
      if (streams.delete(stream) && node) state.onClosed(node);
      metrics.streams.set(streams.size);
    };
    stream.on('close', close);
    stream.on('end', () => {
      close();
      stream.end();
    });
    serve(state, stream).catch((error: unknown) => refuse(state, stream, error));
  }

  return {
    connect,
    forget(forget) {
      for (const [stream, { identity, refused }] of streams) {
        if (identity && !refused && hasRoom(state, stream)) stream.write({ forget });
      }
    },
    expire() {
      for (const [stream, { identity, refused }] of streams) {
        if (!identity || refused || identity.expiresAt > now()) continue;
        const detail = `node ${identity.node} did not renew it`;
        refuse(state, stream, new StreamRefusal(status.UNAUTHENTICATED, 'expired token', detail));
      }
    },
  };
}

function tooMany(reason: string, detail: string): StreamRefusal {
  return new StreamRefusal(status.RESOURCE_EXHAUSTED, reason, detail);
}

function refuse(
  { metrics, log, streams }: StreamTable,
  stream: ControllerStream,
  error: unknown,
): void {
  const { code, reason } =
    error instanceof StreamRefusal ? error : { code: status.INTERNAL, reason: 'failed' };
  const detail = messageOf(error);
  const speaker = streams.get(stream);
  if (speaker?.refused) return;
  if (speaker) speaker.refused = true;
  metrics.streamsRefused.inc({ reason });
  log.warn({ reason, detail, peer: stream.getPeer() }, 'node stream refused');
  stream.emit('error', { code, details: `${reason}: ${detail}` });
}

/** One stream from its token to its end. */
async function serve(state: StreamTable, stream: ControllerStream): Promise<void> {
  const { streams, log, bounds } = state;
  // Messages wait in the stream while the token is reviewed.
  const [header] = stream.metadata.get(authorizationKey);
  const token = /^Bearer (\S+)$/.exec(String(header ?? ''))?.[1];
  if (!token) {
    const detail = `metadata ${authorizationKey} is missing`;
    throw new StreamRefusal(status.UNAUTHENTICATED, 'no token', detail);
  }
  const identity = await review(state, stream, token);
  const hello = await firstMessage(stream, bounds.helloMs);
  if (!hello.hello) {
    throw new StreamRefusal(
      status.FAILED_PRECONDITION,
      'no hello',
      'the first message must be Hello',
    );
  }
  const { node, version } = hello.hello;
  requireNode(identity, node);
  const others = [...streams.values()].filter(({ identity: other }) => other?.node === node);
  if (others.length >= bounds.streamsPerNode) {
    throw tooMany('too many streams of the node', `limit ${bounds.streamsPerNode}`);
  }
  const speaker = streams.get(stream);
  // The stream may have ended meanwhile.
  if (!speaker) return;
  speaker.identity = identity;
  state.onOpened(node);
  log.info({ node, version, peer: stream.getPeer() }, 'node connected');
  stream.on('data', (message: NodeMessage) => {
    if (speaker.refused) return;
    try {
      handle(state, node, message, stream);
    } catch (err) {
      // A message that makes a handler throw is our bug, and no reason to lose the node.
      log.error({ err, node }, 'handling of a node message failed');
    }
  });
}

async function review(state: StreamTable, stream: ControllerStream, token: string) {
  const peer = stream.getPeer().replace(/:\d+$/, '');
  if (state.reviews >= state.bounds.reviews || !state.reviewRate.take(peer)) {
    throw tooMany('too many tokens', 'reviews of tokens are limited, try again later');
  }
  state.reviews += 1;
  try {
    return await identify(state, token);
  } finally {
    state.reviews -= 1;
  }
}

function requireNode(identity: NodeIdentity, node: string): void {
  if (identity.node === node) return;
  const detail = `node ${node}: the token was issued to a pod of ${identity.node}`;
  throw new StreamRefusal(status.PERMISSION_DENIED, 'wrong node', detail);
}

function handle(
  state: StreamTable,
  node: string,
  { report, question, gone, renew }: NodeMessage,
  stream: ControllerStream,
): void {
  const { metrics, messageRate, streams } = state;
  if (!messageRate.take(node)) return void metrics.messagesDropped.inc({ reason: 'rate' });
  if (question && !hasRoom(state, stream)) {
    return void metrics.messagesDropped.inc({ reason: 'answers not read' });
  }
  if (question) stream.write({ answer: state.onQuestion(node, question) });
  else if (report) state.onReport(node, report);
  else if (gone) state.onGone(node, gone);
  else if (renew) {
    review(state, stream, renew.token)
      .then((identity) => {
        requireNode(identity, node);
        const speaker = streams.get(stream);
        if (speaker) speaker.identity = identity;
      })
      .catch((error: unknown) => refuse(state, stream, error));
  }
}

function hasRoom({ bounds }: StreamTable, stream: ControllerStream): boolean {
  return stream.writableLength < bounds.answersWaiting;
}

function firstMessage(stream: ControllerStream, waitMs: number): Promise<NodeMessage> {
  return new Promise((resolve, reject) => {
    const refusal = new StreamRefusal(status.DEADLINE_EXCEEDED, 'no hello', `none in ${waitMs} ms`);
    const timer = setTimeout(() => reject(refusal), waitMs);
    stream.once('data', (message: NodeMessage) => {
      clearTimeout(timer);
      // No message is lost between the hello and the listener for later messages.
      stream.pause();
      resolve(message);
      setImmediate(() => stream.resume());
    });
  });
}
