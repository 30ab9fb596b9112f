import type { Logger } from 'pino';
import type { RateLimit } from '../../bounds/rate.ts';
import type {
  Answer,
  CatalogPart,
  ControllerStream,
  Follow,
  NodeFeatures,
  NodeMessage,
  ProxyGone,
  ProxyReport,
  Question,
} from '../../contract/rpc.ts';
import type { ControllerMetrics } from '../metrics.ts';
import type { NodeBounds } from './bounds.ts';
import type { IdentifyOptions, NodeIdentity } from './identity.ts';
import type { Owed } from './owed.ts';

/** Handlers for the messages of a node companion. */
export type NodeHandlers = {
  /** A stream of the node is accepted from now on, or no longer. */
  onOpened(node: string): void;
  onClosed(node: string): void;
  onReport(node: string, report: ProxyReport): void;
  onGone(node: string, gone: ProxyGone): void;
  onFeatures(node: string, features: NodeFeatures): void;
  /** Answers at once. */
  onQuestion(node: string, question: Question): Answer;
  /** Sends the compact catalog from now on; returns what ends it. */
  onFollow(node: string, follow: Follow, send: (part: CatalogPart) => void): () => void;
};

export type NodesOptions = NodeHandlers &
  IdentifyOptions & { log: Logger; metrics: ControllerMetrics; bounds?: NodeBounds };

/** A refused stream counts until it is closed, because its peer may be slow to read the reason. */
export type Speaker = {
  identity: NodeIdentity | undefined;
  refused: boolean;
  owed: Owed;
  /** Ends the compact catalog on this stream. */
  unfollow?: () => void;
};

export type StreamTable = NodesOptions & {
  bounds: NodeBounds;
  streams: Map<ControllerStream, Speaker>;
  reviews: number;
  reviewRate: RateLimit;
  reportRate: RateLimit;
  questionRate: RateLimit;
  followRate: RateLimit;
  featuresRate: RateLimit;
};

/** Answers a question, as far as the rate of its node allows. */
export function answer(
  state: StreamTable,
  node: string,
  question: Question,
  stream: ControllerStream,
) {
  const { metrics, questionRate } = state;
  if (!questionRate.take(node))
    return void metrics.messagesDropped.inc({ reason: 'question rate' });
  if (!hasRoom(state, stream)) {
    return void metrics.messagesDropped.inc({ reason: 'answers not read' });
  }
  stream.write({ answer: state.onQuestion(node, question) });
}

/** Takes in a report or a farewell; above the rate of its node it comes later. */
export function hear(
  state: StreamTable,
  node: string,
  { report, gone }: NodeMessage,
  stream: ControllerStream,
): void {
  const { metrics, reportRate, streams } = state;
  const owed = streams.get(stream)?.owed;
  if (reportRate.take(node)) {
    if (report) state.onReport(node, report);
    if (gone) state.onGone(node, gone);
  } else if (owed?.note({ report, gone })) metrics.messagesLater.inc();
  else metrics.messagesDropped.inc({ reason: 'report rate' });
}

/** Each pod that is asked for answers with one report, so half of the rate is left for others. */
export function repay(
  state: StreamTable,
  node: string,
  stream: ControllerStream,
  owed: Owed,
): void {
  const most = Math.min(owed.size(), state.bounds.reportRate.perSecond / 2);
  for (let paid = 0; paid < most && hasRoom(state, stream); paid++) {
    const pod = owed.take();
    if (pod?.gone) state.onGone(node, pod.gone);
    else if (pod) stream.write({ forget: { namespace: pod.namespace, pod: pod.pod } });
  }
}

/** Whether the node reads what it is sent. */
export function hasRoom({ bounds }: StreamTable, stream: ControllerStream): boolean {
  return stream.writableLength < bounds.answersWaiting;
}
