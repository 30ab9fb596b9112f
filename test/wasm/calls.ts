import { decodeReport, type FilterReport } from '../../companion/contract/filter-report.ts';
import type { Headers, Host, Stream } from './host.ts';

/** Shorthands for the tests: requests to known and unknown destinations, answers, reports. */

export const second = 1_000_000_000n;
export const address = '10.0.0.7:9080';

export const gateway: Headers = {
  ':status': '200',
  'x-lazyscope-strategy': 'gateway',
  'x-lazyscope-sni': 'outbound_.9080_._.reviews.app.svc.cluster.local',
  'x-lazyscope-identities': 'spiffe://cluster.local/ns/app/sa/reviews',
  'x-lazyscope-ttl': '30',
};
export const direct: Headers = { ...gateway, 'x-lazyscope-strategy': 'direct' };
export const hold: Headers = {
  ...gateway,
  'x-lazyscope-strategy': 'hold',
  'x-lazyscope-otherwise': 'direct',
};
export const passthrough: Headers = {
  ':status': '200',
  'x-lazyscope-strategy': 'passthrough',
  'x-lazyscope-ttl': '30',
};

export function knownRequest(host: Host, cluster: string): Stream {
  return host.request({ 'xds\0cluster_name': cluster }, { ':method': 'GET', ':authority': 'a' });
}

/**
 * A request on the route of ALLOW_ANY, or on the route of REGISTRY_ONLY if `cluster` is undefined.
 */
export function unknownRequest(
  host: Host,
  authority: string,
  headers: Headers = {},
  { cluster = 'PassthroughCluster', destination = address, endOfStream = true } = {},
): Stream {
  return host.request(
    { 'xds\0cluster_name': cluster, 'destination\0address': destination },
    { ':method': 'GET', ':path': '/', ':authority': authority, ...headers },
    endOfStream,
  );
}

/** Answers the only open question. */
export function answer(host: Host, headers?: Headers): void {
  host.respond(host.call('/v1/resolve'), headers);
}

export function markOf(stream: Stream): string | undefined {
  return stream.headers['x-lazyscope-cluster'];
}

/** Advances the time, fires the timer, and accepts the report if the filter sends one. */
export function tick(host: Host, root: number, seconds = 1n): void {
  host.now += seconds * second;
  host.tick(root);
}

/**
 * Advances the time until the filter sends a report, and ends the report with this status or a
 * broken connection.
 */
export function nextReport(
  host: Host,
  root: number,
  status: number | 'broken' = 204,
): FilterReport {
  for (let i = 0; i < 60; i++) {
    tick(host, root);
    const call = host.calls.find((c) => c.headers[':path'] === '/v1/report');
    if (call === undefined) continue;
    host.respond(call, status === 'broken' ? undefined : { ':status': String(status) });
    return decodeReport(call.body);
  }
  throw new Error('no report within a minute');
}
