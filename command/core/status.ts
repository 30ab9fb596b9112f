import { conditionIn } from '../../companion/core/scope/condition.ts';
import type { ScopeRecord } from '../../companion/core/scope/workload-scope.ts';

/** What Lazyscope does to each workload, and what it saves. */

export type WorkloadStatus = {
  namespace: string;
  workload: string;
  mode: string;
  /** Whether a scope is in force. */
  scoped: boolean;
  /** Reason of the condition `Scoped`. */
  reason: string;
  /** What prevents narrowing apart from the mode, as a reason and in words; else empty. */
  obstacle: string;
  obstacleMessage: string;
  hosts: number;
  proxies: { total: number; reporting: number };
  /** Of one proxy, as a mean; absent while it has not been measured. */
  clusters: { before?: number; after?: number };
  memoryBytes: { before?: number; after?: number };
  /** The size before is one of the first minutes, in which it still grew: more may be saved. */
  measuredEarly: boolean;
  /** Over all proxies of the workload; 0 if no scope is in force. */
  savedBytes: number;
  savedPerMonth?: number;
};

export type Total = {
  workloads: number;
  scoped: number;
  proxies: number;
  /** Of all proxies whose sizes before and after are known. */
  memoryBytes: { before: number; after: number };
  savedBytes: number;
  savedPerMonth?: number;
  /** Workloads with a scope in force whose size before or after is not known. */
  unmeasured: number;
  /** Workloads whose size before is one of the first minutes. */
  measuredEarly: number;
};

export type Status = {
  workloads: WorkloadStatus[];
  namespaces: (Total & { namespace: string })[];
  total: Total;
};

const gib = 1024 ** 3;
/** Until then a proxy may lack what makes it grow: connections, the rest of the mesh. */
const settledMs = 600_000;

/**
 * `priceGibMonth`: what a GiB of memory costs in a month, in any currency; `now` in milliseconds
 * since the epoch.
 */
export function statusOf(
  scopes: readonly ScopeRecord[],
  { priceGibMonth, now }: { priceGibMonth?: number | undefined; now: number },
): Status {
  const workloads = scopes.map((scope) => workloadStatus(scope, priceGibMonth, now));
  const namespaces = [...new Set(workloads.map(({ namespace }) => namespace))].sort();
  return {
    workloads,
    namespaces: namespaces.map((namespace) => ({
      namespace,
      ...totalOf(
        workloads.filter((each) => each.namespace === namespace),
        priceGibMonth,
      ),
    })),
    total: totalOf(workloads, priceGibMonth),
  };
}

function workloadStatus(
  { namespace, name, status }: ScopeRecord,
  price: number | undefined,
  now: number,
): WorkloadStatus {
  const scoped = conditionIn(status, 'Scoped');
  const ready = conditionIn(status, 'Ready');
  const { total = 0, reporting = 0, scoped: narrowed = 0 } = status?.proxies ?? {};
  const { beforeBytes, afterBytes } = status?.memory ?? {};
  const isScoped = scoped?.status === 'True';
  const isMeasured = beforeBytes !== undefined && afterBytes !== undefined;
  const savedBytes = isScoped && isMeasured ? (beforeBytes - afterBytes) * narrowed : 0;
  return {
    namespace,
    workload: name,
    mode: status?.mode ?? 'unknown',
    scoped: isScoped,
    reason: scoped?.reason ?? 'NotLookedAt',
    obstacle: ready?.status === 'False' ? ready.reason : '',
    obstacleMessage: ready?.status === 'False' ? ready.message : '',
    hosts: status?.hostCount ?? 0,
    proxies: { total, reporting },
    clusters: given(status?.clusters?.before, status?.clusters?.after),
    memoryBytes: given(beforeBytes, isScoped ? afterBytes : undefined),
    measuredEarly: beforeBytes !== undefined && isEarly(status, now),
    savedBytes,
    ...priced(savedBytes, price),
  };
}

/** The size before is the last one without a scope. */
function isEarly(status: ScopeRecord['status'], now: number): boolean {
  const scoped = conditionIn(status, 'Scoped');
  const since = Date.parse(status?.learningSince ?? '');
  const until = scoped?.status === 'True' ? Date.parse(scoped.lastTransitionTime) : now;
  return until - since < settledMs;
}

function given(before: number | undefined, after: number | undefined) {
  return { ...(before !== undefined && { before }), ...(after !== undefined && { after }) };
}

function priced(bytes: number, price: number | undefined): { savedPerMonth?: number } {
  return price === undefined ? {} : { savedPerMonth: (bytes / gib) * price };
}

function totalOf(workloads: readonly WorkloadStatus[], price: number | undefined): Total {
  const sum = (of: (each: WorkloadStatus) => number) =>
    workloads.reduce((all, each) => all + of(each), 0);
  const isMeasured = ({ memoryBytes: { before, after } }: WorkloadStatus) =>
    before !== undefined && after !== undefined;
  const sumBytes = (when: 'before' | 'after') =>
    sum((each) => (isMeasured(each) ? (each.memoryBytes[when] ?? 0) * each.proxies.total : 0));
  const savedBytes = sum((each) => each.savedBytes);
  return {
    workloads: workloads.length,
    scoped: sum(({ scoped }) => Number(scoped)),
    proxies: sum(({ proxies }) => proxies.total),
    memoryBytes: { before: sumBytes('before'), after: sumBytes('after') },
    savedBytes,
    ...priced(savedBytes, price),
    unmeasured: workloads.filter((each) => each.scoped && !isMeasured(each)).length,
    measuredEarly: workloads.filter((each) => each.measuredEarly).length,
  };
}
