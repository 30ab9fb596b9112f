import { status } from '@grpc/grpc-js';
import { createRateLimit } from '../../bounds/rate.ts';
import {
  authorizationKey,
  type ControllerHandlers,
  type ControllerStream,
  type Follow,
  type NodeFeatures,
  type NodeMessage,
} from '../../contract/rpc.ts';
import { messageOf } from '../../frame/errors.ts';
import { nodeBounds } from './bounds.ts';
import { identify, type NodeIdentity, StreamRefusal } from './identity.ts';
import { createOwed } from './owed.ts';
import { answer, hasRoom, hear, type NodesOptions, repay, type StreamTable } from './rated.ts';

export type Nodes = {
  /** Asks every connected node to send its data about a pod again. */
  forget(pod: { namespace: string; pod: string }): void;
  /** Asks for what was above the rate of a node, as far as the rate has room now. */
  repay(): void;
  /** Ends the streams whose token has expired, because others may have the token by now. */
  expire(): void;
  connect: ControllerHandlers['connect'];
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
    reportRate: createRateLimit(bounds.reportRate, steady),
    questionRate: createRateLimit(bounds.questionRate, steady),
    followRate: createRateLimit(bounds.followRate, steady),
    featuresRate: createRateLimit(bounds.followRate, steady),
  };
  const { streams } = state;

  function connect(stream: ControllerStream): void {
    if (streams.size >= bounds.streams) {
      refuse(state, stream, tooMany('too many streams', `limit ${bounds.streams}`));
      return;
    }
    const owed = createOwed(bounds.owedPods);
    streams.set(stream, { identity: undefined, refused: false, owed });
    metrics.streams.set(streams.size);
    const close = () => {
      const { identity, unfollow } = streams.get(stream) ?? {};
      const node = identity?.node;
      unfollow?.();
      if (streams.delete(stream) && node) state.onClosed(node);
      metrics.streams.set(streams.size);
    };
    stream.on('close', close);
    stream.on('end', () => {
      close();
      stream.end();
    });
    serve(state, stream).catch((error: unknown) => {
      // A stream that was closed meanwhile is not refused.
      if (streams.has(stream)) refuse(state, stream, error);
    });
  }

  return {
    connect,
    repay() {
      for (const [stream, { identity, refused, owed }] of streams) {
        if (identity && !refused) repay(state, identity.node, stream, owed);
      }
    },
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
  message: NodeMessage,
  stream: ControllerStream,
): void {
  const { streams } = state;
  const { report, question, gone, renew, features, follow: followed } = message;
  if (question) answer(state, node, question, stream);
  else if (report || gone) hear(state, node, message, stream);
  else if (followed) follow(state, node, followed, stream);
  else if (features) tellFeatures(state, node, features);
  else if (renew) {
    review(state, stream, renew.token)
      .then((identity) => {
        requireNode(identity, node);
        const speaker = streams.get(stream);
        if (speaker) speaker.identity = identity;
      })
      .catch((error: unknown) => {
        if (streams.has(stream)) refuse(state, stream, error);
      });
  }
}

/** At the rate of Follow: a companion tells them once for each stream, and when they change. */
function tellFeatures(state: StreamTable, node: string, features: NodeFeatures): void {
  if (state.featuresRate.take(node)) state.onFeatures(node, features);
  else state.metrics.messagesDropped.inc({ reason: 'features rate' });
}

function follow(state: StreamTable, node: string, asked: Follow, stream: ControllerStream): void {
  const speaker = state.streams.get(stream);
  if (!speaker) return;
  if (!state.followRate.take(node)) {
    return void state.metrics.messagesDropped.inc({ reason: 'follow rate' });
  }
  speaker.unfollow?.();
  speaker.unfollow = state.onFollow(node, asked, (catalog) => {
    if (hasRoom(state, stream)) stream.write({ catalog });
    else refuse(state, stream, tooMany('catalog not read', `by node ${node}`));
  });
}

function firstMessage(stream: ControllerStream, waitMs: number): Promise<NodeMessage> {
  return new Promise((resolve, reject) => {
    const refusal = new StreamRefusal(status.DEADLINE_EXCEEDED, 'no hello', `none in ${waitMs} ms`);
    const timer = setTimeout(() => reject(refusal), waitMs);
    // Without an answer to a stream that is gone: `connect` refuses only those that are open.
    for (const end of ['close', 'end']) {
      stream.once(end, () => {
        clearTimeout(timer);
        reject(refusal);
      });
    }
    stream.once('data', (message: NodeMessage) => {
      clearTimeout(timer);
      // No message is lost between the hello and the listener for later messages.
      stream.pause();
      resolve(message);
      setImmediate(() => stream.resume());
    });
  });
}
