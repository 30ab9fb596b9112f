import type { UnknownCall } from './resolve.ts';

/** How the cluster of a host begins: such a cluster alone says where the call went. */
export const knownPrefix = 'outbound|';

/** A call as an entry of an access log has it. */
export type LoggedCall = {
  tcp: boolean;
  /** The cluster whose host was chosen, by its own name; empty if no host was chosen. */
  cluster: string;
  /**
   * The `:authority` of a request, the SNI of a connection; empty if there is none. The reader may
   * leave this and the address out where the cluster is that of a host.
   */
  name: string;
  /** What the app called: `ip:port`, with IPv6 in brackets. */
  address: string;
  /** The last entry of the call; false for entries while it goes on. */
  isOver: boolean;
};

/** A use of a destination; `calls` is 0 for a call that goes on, or that another use counts. */
export type LoggedUse = { edge: { cluster: string } | { unknown: UnknownCall }; calls: number };

/** As in the contract of the filter. */
const nameMax = 512;
const printable = /^[\x21-\x7e]*$/;

/**
 * The destinations that an entry shows to be used; none if it is a call to the app itself, or to
 * nowhere.
 *
 * Envoy writes one entry for a request, however often the request was retried, and one for each
 * redirect that it followed by itself. So a use is a call of the app, or of a redirect. The cluster
 * is the last one that a host was chosen from. A call that failed before that, or that no scope has
 * a route for (PassthroughCluster, BlackHoleCluster, those of Lazyscope), is unknown: what it named
 * and called says where it belongs.
 */
export function usesOf(call: LoggedCall): LoggedUse[] {
  const { tcp, cluster, address } = call;
  const calls = call.isOver ? 1 : 0;
  if (cluster.startsWith(knownPrefix)) return [{ edge: { cluster: withoutMark(cluster) }, calls }];
  if (cluster.startsWith('inbound|') || cluster.startsWith('InboundPassthroughCluster')) return [];
  if (address === '') return [];
  const name = call.name.length <= nameMax && printable.test(call.name) ? call.name : '';
  const unknown = { tcp, authority: tcp ? '' : name, destination: address };
  if (!tcp || name === '') return [{ edge: { unknown }, calls }];
  // A connection with TLS is routed by its SNI, where a host declares that, else by its address.
  return [
    { edge: { unknown }, calls },
    { edge: { unknown: { tcp: false, authority: name, destination: address } }, calls: 0 },
  ];
}

/** Istio ends a cluster's name for statistics with a semicolon. */
function withoutMark(cluster: string): string {
  return cluster.endsWith(';') ? cluster.slice(0, -1) : cluster;
}
