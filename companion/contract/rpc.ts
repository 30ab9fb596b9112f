import { fileURLToPath } from 'node:url';
import {
  type ChannelCredentials,
  type ChannelOptions,
  type Client,
  type ClientDuplexStream,
  type ClientOptions,
  type handleBidiStreamingCall,
  type Metadata,
  makeClientConstructor,
  type ServerDuplexStream,
  type ServiceDefinition,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { UnknownCall } from '../core/first-call/resolve.ts';
import type { RetryPolicy } from '../core/mesh/retry-policy.ts';
import type { ProxyStats } from '../core/scope/proxies.ts';

/**
 * The types of companion.proto and its loader. A received message has every scalar and list (absent
 * fields as 0, '' and []); absent messages are null. 64-bit counters are numbers: above 2^53 they
 * lose their last digits, which no reader of a counter notices.
 */

export type Hello = { node: string; version: string };

/** A newer token. The stream ends when the newest token expires. */
export type Renew = { token: string };

/** Asks for the compact catalog; see companion.proto. */
export type Follow = { layout: number; digests: Uint8Array; id: number };

/** What the node has, as labels without their prefix. */
export type NodeFeatures = { labels: Record<string, string> };

/** A part of the compact catalog; see companion.proto. */
export type CatalogPart = {
  cleared: number[];
  records: { key: string; text: string }[];
  removed: string[];
  complete: boolean;
  refused: string;
  followId: number;
  packs: Uint8Array[];
};

/** A destination that a proxy used: exactly one of `cluster` and `unknown` is set. */
export type ReportedEdge = {
  /** As Envoy names it: `outbound|9080||reviews.app.svc.cluster.local`. */
  cluster?: string;
  /** A call that met no route. */
  unknown?: UnknownCall | null;
  secondsSinceSeen: number;
  /** Calls heard of, cumulative; 0 or absent from a companion that does not count. */
  count?: number;
};

/** Two observations with the same key are the same destination. */
export function keyOf({ cluster, unknown }: Pick<ReportedEdge, 'cluster' | 'unknown'>): string {
  if (!unknown) return cluster ?? '';
  const { tcp, authority, destination } = unknown;
  return `${tcp ? 'tcp' : 'http'} ${authority} ${destination}`;
}

/** With the age of the figures, relative so that clocks need not agree; absent means now. */
export type AgedProxyStats = ProxyStats & { secondsSinceRead?: number };

export type ProxyReport = {
  namespace: string;
  pod: string;
  podUid: string;
  /** Empty while no filter of this proxy has reported. */
  filterVersion: string;
  edges: ReportedEdge[];
  stats?: AgedProxyStats | null;
  overflow: number;
  /** `neverHeard` while no filter of this proxy has reported; the default of 0 would mean "now". */
  secondsSinceHeartbeat: number;
  /** `access-log`; empty or absent: wasm. */
  source?: string;
  /** Of an access log: since when nothing was lost, as far as can be known. */
  secondsUnbroken?: number;
};

/** Age of a heartbeat that never came, in seconds (136 years). */
export const neverHeard = 2 ** 32 - 1;

export type ProxyGone = { namespace: string; pod: string; podUid: string };

export type Question = {
  id: number;
  namespace: string;
  pod: string;
  podUid: string;
  call?: UnknownCall | null;
};

/** Exactly one of the fields is set. */
export type NodeMessage = {
  hello?: Hello;
  report?: ProxyReport;
  question?: Question;
  gone?: ProxyGone;
  renew?: Renew;
  follow?: Follow;
  features?: NodeFeatures;
};

export type Answer = {
  id: number;
  strategy: string;
  otherwise: string;
  sni: string;
  identities: string[];
  ttlSeconds: number;
  millisecondsSinceScopeWritten: number;
  reason: string;
  retries?: RetryPolicy | null | undefined;
};

export type Forget = { namespace: string; pod: string };

/** Exactly one of the fields is set. */
export type ControllerMessage = { answer?: Answer; forget?: Forget; catalog?: CatalogPart };

export type NodeStream = ClientDuplexStream<NodeMessage, ControllerMessage>;
export type ControllerStream = ServerDuplexStream<NodeMessage, ControllerMessage>;

export type ControllerHandlers = {
  connect: handleBidiStreamingCall<NodeMessage, ControllerMessage>;
};

type ControllerClient = Client & { connect(metadata: Metadata): NodeStream };

/**
 * Largest message in bytes. The largest message is a complete report of one proxy: 1,024 edges
 * (`companion/node/aggregate.ts`), each with a cluster name or an authority of 512 bytes and an
 * address.
 */
export const messageBytesMax = 1024 * 1024;

/** The name in the controller's serving certificate; the same for every replica and address. */
export const controllerServerName = 'lazyscope-controller';

/** Metadata key that carries `Bearer <projected service account token>`. */
export const authorizationKey = 'authorization';

const limits: ChannelOptions = {
  'grpc.max_receive_message_length': messageBytesMax,
  'grpc.max_send_message_length': messageBytesMax,
};

/** Keepalive of both sides: a dead peer is noticed within 15 s, even if neither side sends data. */
const keepalive: ChannelOptions = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.keepalive_permit_without_calls': 1,
};

/** Options for `new grpc.Server(...)`: bounded messages, keepalive. */
export const controllerServerOptions: ChannelOptions = { ...limits, ...keepalive };

const definition = loadController();

/** For `server.addService(controllerService, handlers)`. */
export const controllerService: ServiceDefinition<ControllerHandlers> = definition;

/** A client for one controller replica at `address` (ip:port); it connects on first use. */
export function connectController(
  address: string,
  credentials: ChannelCredentials,
  options: ClientOptions = {},
): ControllerClient {
  const ClientOf = makeClientConstructor(definition, 'Controller');
  return new ClientOf(address, credentials, {
    ...limits,
    ...keepalive,
    'grpc.ssl_target_name_override': controllerServerName,
    'grpc.default_authority': controllerServerName,
    ...options,
  }) as unknown as ControllerClient;
}

function loadController(): ServiceDefinition<ControllerHandlers> {
  const file = new URL('./companion.proto', import.meta.url);
  const loaded = loadSync(fileURLToPath(file), { longs: Number, enums: String, defaults: true });
  return loaded['lazyscope.v1.Controller'] as unknown as ServiceDefinition<ControllerHandlers>;
}
