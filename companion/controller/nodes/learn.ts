import { keyOf, type ProxyReport, type ReportedEdge } from '../../contract/rpc.ts';
import { resolve } from '../../core/first-call/resolve.ts';
import { parseClusterName } from '../../core/mesh/authority.ts';
import { shownTo } from '../../core/mesh/host-lookup.ts';
import type { PodRecord } from '../../core/mesh/pod-record.ts';
import type { HostRef, Sighting } from '../../core/scope/edges.ts';
import { sentinelHost } from '../../core/scope/sentinel.ts';
import type { ControllerMetrics } from '../metrics.ts';
import type { State } from '../state/state.ts';

export type Learning = {
  state: State;
  metrics: ControllerMetrics;
  clusterDomain: string;
  gatewayHost: string;
  /** How long an unused destination stays, unless its scope sets another time. */
  ttlMs: number;
  now: () => number;
  /** `first`: the destination is new for this workload, so its scope cannot wait. */
  onSeen(pod: PodRecord, sighting: Exclude<Sighting, 'full'>): void;
  /** An entry of an access log shows a first call; the history has it. */
  noteFirstCall(pod: PodRecord, host: HostRef): void;
  /** A report of a pod begins; the result takes its destinations and their cumulative counts. */
  counting(pod: PodRecord): (host: HostRef, key: string, count: number) => void;
};

/** Records the destinations that the proxy of a pod used. */
export function learnReport(learning: Learning, pod: PodRecord, report: ProxyReport): void {
  const { metrics, state, now } = learning;
  const { namespace, name, uid } = pod;
  const isLog = report.source === 'access-log';
  const isHeard = isLog || report.filterVersion !== '';
  const heartbeatAt = now() - report.secondsSinceHeartbeat * 1000;
  state.proxies.report({
    namespace,
    pod: name,
    uid,
    filterVersion: report.filterVersion,
    heartbeatAt: isHeard ? Math.max(0, heartbeatAt) : 0,
    unbrokenSince: isLog ? now() - (report.secondsUnbroken ?? 0) * 1000 : 0,
    reportedAt: now(),
    overflow: report.overflow,
    stats: report.stats ?? undefined,
    measuredAt: report.stats ? now() - (report.stats.secondsSinceRead ?? 0) * 1000 : 0,
  });
  metrics.reports.inc();
  // A node companion remembers destinations as long as its pods live. A controller that starts, or
  // a new stream, must not learn expired destinations from it again.
  const ttlMs = ttlOf(learning, pod);
  const count = learning.counting(pod);
  for (const edge of report.edges) {
    if (edge.secondsSinceSeen * 1000 > ttlMs) {
      metrics.ignored.inc({ reason: 'past its time' });
      continue;
    }
    const seenAt = now() - edge.secondsSinceSeen * 1000;
    const host = destinationOf(learning, namespace, edge, seenAt);
    if (typeof host === 'string') metrics.ignored.inc({ reason: host });
    else {
      const isNew = learnHost(learning, pod, host, seenAt);
      // A filter asks about a first call; of an access log this is the only sign.
      if (isNew && isLog && edge.unknown) learning.noteFirstCall(pod, host);
      count(host, keyOf(edge), edge.count ?? 0);
    }
  }
}

function ttlOf({ state, ttlMs }: Learning, pod: PodRecord): number {
  const workload = state.workloadOf(pod);
  return (workload && state.scopes.get(workload.namespace, workload.name)?.ttlMs) ?? ttlMs;
}

/** Records that a pod needs a host; true if its workload had not used the host before. */
export function learnHost(
  { state, metrics, onSeen }: Learning,
  pod: PodRecord,
  host: HostRef,
  seenAt: number,
): boolean {
  const sighting = state.edges.see(pod, host, seenAt);
  if (sighting === 'full') {
    metrics.ignored.inc({ reason: 'workload full' });
    return false;
  }
  if (sighting === 'first') metrics.learned.inc();
  onSeen(pod, sighting);
  return sighting === 'first';
}

type Ignored = 'not a host of the mesh' | 'in every scope' | 'too many hosts of other clusters';

function destinationOf(
  learning: Learning,
  namespace: string,
  edge: ReportedEdge,
  seenAt: number,
): HostRef | Ignored {
  const { state, clusterDomain, gatewayHost } = learning;
  if (edge.unknown) {
    const { host, record, virtualServices, learnable } = resolve(state.catalog, edge.unknown, {
      namespace,
      clusterDomain,
    });
    const of = record?.namespace ?? virtualServices[0]?.namespace;
    return learnable && of !== undefined ? { namespace: of, host } : 'not a host of the mesh';
  }
  const cluster = parseClusterName(edge.cluster ?? '');
  if (!cluster) return 'not a host of the mesh';
  const { host, port } = cluster;
  // Hosts that every scope has anyway need no record.
  if (host === sentinelHost || host === gatewayHost) return 'in every scope';
  const { catalog } = state;
  // istiod made the cluster name, so the host exists, even if it is not in this cluster.
  if (catalog.hosts.exact(host).every(({ isFar }) => isFar)) {
    const isNoted = state.farHosts.note(host, port, namespace, seenAt);
    if (!isNoted) return 'too many hosts of other clusters';
  }
  const [record] = shownTo(catalog, catalog.hosts.exact(host), namespace);
  return record ? { namespace: record.namespace, host } : 'not a host of the mesh';
}
