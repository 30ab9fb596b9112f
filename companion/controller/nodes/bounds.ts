import type { Rate } from '../../bounds/rate.ts';

/** What node companions may ask of a controller; each refusal is counted. */
export type NodeBounds = {
  streams: number;
  streamsPerNode: number;
  reviews: number;
  reviewRate: Rate;
  reportRate: Rate;
  questionRate: Rate;
  followRate: Rate;
  owedPods: number;
  answersWaiting: number;
  helloMs: number;
};

export const nodeBounds: NodeBounds = {
  /** Kubernetes supports 5,000 nodes; more streams than that are not node companions. */
  streams: 5_000,
  /**
   * One; two while a DaemonSet rolls out; and those of lost connections until keepalive detects
   * them.
   */
  streamsPerNode: 8,
  /**
   * Tokens reviewed at once, 64 of them at the API server (kube/request.ts). A thousand nodes that
   * connect at once show a thousand tokens.
   */
  reviews: 1_024,
  /** Reviews for one address: a companion shows one token when it connects. */
  reviewRate: { perSecond: 1, burst: 40 },
  /**
   * Reports and farewells of one node. 500 pods send one each in 2 s, or 20 ms after a new
   * destination; above the rate they come later.
   */
  reportRate: { perSecond: 2_000, burst: 10_000 },
  /**
   * Questions of one node, which have a rate of their own, so that pods that ask as fast as they
   * may do not silence the reports of their neighbours. A question above the rate is not answered:
   * the node falls back after 150 ms.
   */
  questionRate: { perSecond: 5_000, burst: 20_000 },
  /** A node companion follows once for each stream, and again after 5 s without an answer. */
  followRate: { perSecond: 0.5, burst: 10 },
  /** Pods of one stream whose reports were above the rate; Kubernetes allows 500 pods a node. */
  owedPods: 1_024,
  /**
   * Answers that a node has not read yet; at most 3 KB each. A node that reads none gets no more.
   * The stream of a node that reads no part of the compact catalog is cut.
   */
  answersWaiting: 1_024,
  /** A node companion sends its hello at once. */
  helloMs: 5_000,
};
