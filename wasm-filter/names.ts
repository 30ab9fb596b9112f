/** Every name that the filter exchanges with Envoy, the node companion and its configuration. */

import { ascii } from './bytes';

// Envoy properties, parts joined by NUL (source/extensions/filters/common/expr/context.h).
export const CLUSTER_NAME = ascii('xds\0cluster_name');
export const VIRTUAL_HOST_NAME = ascii('xds\0virtual_host_name');
/** Absent if no route of the virtual host matches the request. */
export const ROUTE_METADATA = ascii('xds\0route_metadata');
/** Set by the EnvoyFilter of the namespace on routes that answer by themselves. */
export const ROUTE_ANSWERS = ascii('xds\0route_metadata\0filter_metadata\0lazyscope\0answers');
export const FILTER_CHAIN_NAME = ascii('xds\0filter_chain_name');
export const DESTINATION_ADDRESS = ascii('destination\0address');
/** Property of the filter: the start of the hold and its rounds. */
export const HOLD_STATE = ascii('lazyscope_hold');

// Clusters to which Istio sends unknown destinations: outboundTrafficPolicy ALLOW_ANY,
// REGISTRY_ONLY, and ALLOW_ANY_DYNAMIC_DNS (pilot/pkg/networking/util/util.go).
export const PASSTHROUGH_CLUSTER = ascii('PassthroughCluster');
export const BLACK_HOLE_CLUSTER = ascii('BlackHoleCluster');
export const DYNAMIC_DNS_CLUSTER = ascii('AllowAnyDynamicDNSCluster');

// Istio's virtual hosts for the same (pilot/pkg/networking/core/httproute.go).
export const ALLOW_ANY = ascii('allow_any');
export const BLOCK_ALL = ascii('block_all');
export const ALLOW_ANY_DYNAMIC_DNS = ascii('allow_any_dynamic_dns');

// Istio's filter chains for unknown connections (pilot/pkg/networking/core/listener.go); the chains
// of known connections have other names, or none.
export const CATCH_ALL_CHAIN = ascii('virtualOutbound-catchall-tcp');
export const PASSTHROUGH_CHAIN = ascii('PassthroughFilterChain');

// Clusters added by the EnvoyFilter of the namespace.
export const EGRESS_CLUSTER = ascii('lazyscope-egress');
export const DIRECT_CLUSTER = ascii('lazyscope-direct');
export const HOLD_CLUSTER = ascii('lazyscope-hold');
export const NODE_CLUSTER = ascii('lazyscope-node');

// Filter state read by Envoy itself (well_known_filter_state in its documentation).
export const TCP_PROXY_CLUSTER = ascii('envoy.tcp_proxy.cluster');
export const UPSTREAM_SERVER_NAME = ascii('envoy.network.upstream_server_name');
export const UPSTREAM_IDENTITIES = ascii('envoy.network.upstream_subject_alt_names');

// Foreign functions (source/extensions/common/wasm/foreign.cc).
export const SET_FILTER_STATE = ascii('set_envoy_filter_state');
export const DECLARE_PROPERTY = ascii('declare_property');

// HTTP headers.
export const METHOD = ascii(':method');
export const PATH = ascii(':path');
export const AUTHORITY = ascii(':authority');
export const STATUS = ascii(':status');
export const UPGRADE = ascii('upgrade');
export const TRAILER = ascii('trailer');
export const CONTENT_TYPE = ascii('content-type');
export const CONTENT_LENGTH = ascii('content-length');
// Override the retries of the route, or add conditions. Envoy's router removes these headers
// (retry_state_impl.cc, router.cc).
export const MAX_RETRIES = ascii('x-envoy-max-retries');
export const RETRY_ON = ascii('x-envoy-retry-on');
export const RETRY_GRPC_ON = ascii('x-envoy-retry-grpc-on');
export const RETRIABLE_CODES = ascii('x-envoy-retriable-status-codes');
export const PER_TRY_TIMEOUT = ascii('x-envoy-upstream-rq-per-try-timeout-ms');
/**
 * Retries of a call to the gateway that nothing has received yet. Each connection to the Service of
 * the gateway meets a replica at random, and until kube-proxy removes a dead one of two, all twelve
 * attempts fail for one call in 4,096. Envoy waits for at most 250 ms between two attempts.
 */
export const GATEWAY_RETRIES = ascii('11');
/** Set by Envoy on the request of an internal redirect. */
export const ORIGINAL_URL = ascii('x-envoy-original-url');
export const GET = ascii('GET');
export const POST = ascii('POST');
/**
 * Those that the parser of the node companion knows: of HTTP (RFC 9110, 5789) and WebDAV, and
 * PURGE.
 */
export const HELD_METHODS = ascii(
  ' GET HEAD POST PUT PATCH DELETE OPTIONS TRACE PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK REPORT SEARCH PURGE ',
);
export const GRPC = ascii('application/grpc');
export const OCTET_STREAM = ascii('application/octet-stream');

// Lazyscope's headers.
export const X_CLUSTER = ascii('x-lazyscope-cluster');
export const X_DESTINATION = ascii('x-lazyscope-destination');
export const X_CALL = ascii('x-lazyscope-call');
export const X_TOOK = ascii('x-lazyscope-took');
export const X_AUTHORITY = ascii('x-lazyscope-authority');
export const X_STRATEGY = ascii('x-lazyscope-strategy');
export const X_OTHERWISE = ascii('x-lazyscope-otherwise');
export const X_SNI = ascii('x-lazyscope-sni');
export const X_IDENTITIES = ascii('x-lazyscope-identities');
export const X_TTL = ascii('x-lazyscope-ttl');
export const X_RETRIES = ascii('x-lazyscope-retries');
export const X_RETRY_ON = ascii('x-lazyscope-retry-on');
export const X_RETRY_GRPC_ON = ascii('x-lazyscope-retry-grpc-on');
export const X_RETRY_CODES = ascii('x-lazyscope-retry-codes');
export const X_RETRY_TIMEOUT = ascii('x-lazyscope-retry-timeout');

// Paths of the node companion.
export const RESOLVE_PATH = ascii('/v1/resolve');
export const REPORT_PATH = ascii('/v1/report');

// Values shared by configuration, questions and answers.
export const HTTP = ascii('http');
export const TCP = ascii('tcp');
export const GATEWAY = ascii('gateway');
export const DIRECT = ascii('direct');
export const HOLD = ascii('hold');
export const PASSTHROUGH = ascii('passthrough');
export const PLAIN = ascii('plain');

// Keys of the plugin configuration.
export const MODE_KEY = ascii('mode');
export const FALLBACK_KEY = ascii('fallback');
export const DIRECT_CIDRS_KEY = ascii('directCidrs');
export const FLUSH_SECONDS_KEY = ascii('flushSeconds');
export const HOLD_SECONDS_KEY = ascii('holdSeconds');
