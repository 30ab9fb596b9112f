import type { KubeObject } from '../kube.ts';
import { importedHosts, type SidecarInput, type SidecarRecord, sidecarOf } from './sidecar.ts';

export type Mode = 'observe' | 'enforce' | 'off';

/** Counts of a workload's proxies. */
export type ProxyCount = {
  total: number;
  /** With a filter that was heard of recently. */
  live: number;
  /** Live ones whose memory was never read. */
  unmeasured: number;
  /** Milliseconds until nobody waits for their figures any more. */
  measuringMs: number;
};

export type PlanInput = SidecarInput & {
  mode: Mode;
  current: SidecarRecord | undefined;
  /** Somebody else's Sidecar that selects the workload. */
  foreign: SidecarRecord | undefined;
  proxies: ProxyCount;
  /** Milliseconds until the learning window ends; 0 or less when it has. */
  learningMs: number;
};

export type Change =
  | { verb: 'none' }
  | { verb: 'create' | 'update'; sidecar: KubeObject }
  | { verb: 'delete'; current: SidecarRecord };

/** Condition `Scoped` of the WorkloadScope: whether its Sidecar is in force, and why or why not. */
export type Scoped = { status: 'True' | 'False'; reason: string; message: string };

export type Plan = { change: Change; scoped: Scoped };

/**
 * What to do about a workload's Sidecar.
 *
 *     mode      foreign  current  may narrow   change
 *     off       any      yes      any          delete
 *     observe   any      yes      any          delete
 *     enforce   yes      yes      any          delete: the other one may be younger and not win
 *     enforce   no       no       yes          create, when the proxies have been measured
 *     enforce   no       no       no           none, and say what is missing
 *     enforce   no       yes      yes          update if different
 *     enforce   no       yes      no           update if something is added; nothing is taken away
 */
export function planScope(input: PlanInput): Plan {
  const { mode, current, foreign, proxies } = input;
  if (mode !== 'enforce' || foreign) {
    const change: Change = current ? { verb: 'delete', current } : { verb: 'none' };
    return { change, scoped: unscoped(input) };
  }
  const barrier = barrierToNarrowing(input);
  if (!current) {
    if (barrier) return { change: { verb: 'none' }, scoped: barrier };
    if (proxies.measuringMs > 0) return { change: { verb: 'none' }, scoped: measuring(proxies) };
    const scoped = enforced(input.hosts);
    return {
      change: { verb: 'create', sidecar: sidecarOf(input) },
      scoped: { ...scoped, message: `${scoped.message}${notMeasured(proxies)}` },
    };
  }
  const hosts = barrier ? union(importedHosts(current), input.hosts) : input.hosts;
  const sidecar = sidecarOf({ ...input, hosts });
  const change: Change = same(sidecar, current) ? { verb: 'none' } : { verb: 'update', sidecar };
  return { change, scoped: enforced(hosts) };
}

function unscoped({ mode, foreign }: PlanInput): Scoped {
  if (mode === 'off') {
    return { status: 'False', reason: 'Off', message: 'The namespace is not enabled.' };
  }
  if (mode === 'observe') {
    return { status: 'False', reason: 'Observing', message: 'Mode observe learns and shows only.' };
  }
  return {
    status: 'False',
    reason: 'ForeignSidecar',
    message: `Sidecar ${foreign?.name} selects this workload; delete it to let Lazyscope scope it.`,
  };
}

/** Why the configuration of the workload must not become smaller now. */
function barrierToNarrowing({ proxies, learningMs }: PlanInput): Scoped | undefined {
  const { total, live } = proxies;
  if (total === 0) {
    return {
      status: 'False',
      reason: 'NoProxies',
      message: 'No proxy of the workload is running.',
    };
  }
  if (live < total) {
    return {
      status: 'False',
      reason: 'ProxiesNotReporting',
      message: `${live} of ${total} proxies report; all must. Restart pods that lack the filter.`,
    };
  }
  if (learningMs > 0) {
    const seconds = Math.ceil(learningMs / 60_000) * 60;
    return { status: 'False', reason: 'Learning', message: `Learns for another ${seconds} s.` };
  }
  return undefined;
}

/** What full configuration costs can be read only while it is in force. */
function measuring({ total, unmeasured }: ProxyCount): Scoped {
  const message = `Reads the memory of ${unmeasured} of ${total} proxies first.`;
  return { status: 'False', reason: 'Measuring', message };
}

function notMeasured({ unmeasured }: ProxyCount): string {
  return unmeasured > 0 ? ` The memory of ${unmeasured} proxies before is not known.` : '';
}

function enforced(hosts: readonly string[]): Scoped {
  return { status: 'True', reason: 'Enforced', message: `Imports ${hosts.length} hosts.` };
}

function union(a: readonly string[], b: readonly string[]): string[] {
  return [...new Set([...a, ...b])].sort();
}

function same(desired: KubeObject, current: SidecarRecord): boolean {
  return (
    canonical(desired.spec) === canonical(current.spec) &&
    desired.metadata.ownerReferences?.[0]?.uid === current.ownerUid
  );
}

/** JSON with sorted keys: the API server gives fields back in an order of its own. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    part && typeof part === 'object' && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
