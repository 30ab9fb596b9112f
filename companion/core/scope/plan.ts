import type { KubeObject } from '../../kube/object.ts';
import { counted } from '../mesh/counted.ts';
import { type Barrier, type BarrierInput, barrierOf, modeReason, readyOf } from './barrier.ts';
import { canonical } from './canonical.ts';
import type { Mode, Scoped } from './condition.ts';
import { scopeBytesMax } from './fit.ts';
import type { ProxyCount } from './proxies.ts';
import { importedHosts, type SidecarInput, type SidecarRecord, sidecarOf } from './sidecar.ts';
import { type Pending, pendingOf } from './withdrawal.ts';

export type PlanInput = SidecarInput &
  BarrierInput & {
    mode: Mode;
    current: SidecarRecord | undefined;
    /** Whether silence may withdraw the scope now; called only if it would. */
    admitWithdrawal(): boolean;
  };

export type Change =
  | { verb: 'none' }
  | { verb: 'create' | 'update'; sidecar: KubeObject }
  | { verb: 'delete'; current: SidecarRecord };

export type Plan = {
  change: Change;
  /** Condition `Scoped`: whether the Sidecar is in force, and why or why not. */
  scoped: Scoped;
  /** Condition `Ready`: the reason, other than the mode, that prevents narrowing. */
  ready: Scoped;
  /** The scope stays although proxies are silent; the reason. */
  pending?: Pending | undefined;
};

/**
 * What to do about a workload's Sidecar; barriers are those of `barrierOf`.
 *
 *     mode      barrier    current  change
 *     off       any        yes      delete
 *     observe   any        yes      delete
 *     enforce   withdraws  yes      delete; for silence or too many hosts, when the mesh has room
 *     enforce   any        no       none, and say what is missing
 *     enforce   another    yes      update if something is added; nothing is taken away
 *     enforce   none       yes      update if different
 *     enforce   none       no       create, when the proxies have been measured
 */
export function planScope(input: PlanInput): Plan {
  const { mode, current, proxies } = input;
  const barrier = barrierOf(input);
  const ready = readyOf(barrier);
  const isBudgeted = barrier?.reason === 'ProxiesSilent' || exceeds(barrier);
  const waits = mode === 'enforce' && current && isBudgeted && !input.admitWithdrawal();
  const unscoped = modeReason(mode) ?? (barrier?.withdraws && !waits ? ready : undefined);
  if (unscoped) {
    const change: Change = current ? { verb: 'delete', current } : { verb: 'none' };
    return { change, scoped: unscoped, ready };
  }
  if (!current) {
    if (barrier) return { change: { verb: 'none' }, scoped: ready, ready };
    if (proxies.measuringMs > 0)
      return { change: { verb: 'none' }, scoped: measuring(proxies), ready };
    const scoped = enforced(input.hosts);
    return {
      change: { verb: 'create', sidecar: sidecarOf(input) },
      scoped: { ...scoped, message: `${scoped.message}${notMeasured(proxies)}` },
      ready,
    };
  }
  const before = importedHosts(current);
  if (barrier && exceeds(barrier)) {
    const pending = { reason: 'Budget', message: barrier.message } as const;
    return { change: { verb: 'none' }, scoped: enforced(before), ready, pending };
  }
  const hosts = barrier ? grown(before, input.hosts) : input.hosts;
  const sidecar = sidecarOf({ ...input, hosts });
  const change: Change = same(sidecar, current) ? { verb: 'none' } : { verb: 'update', sidecar };
  // A starting pod changes nothing while the scope is in force.
  const pending = pendingOf(proxies, input.silenceMs);
  return { change, scoped: enforced(hosts), ready: readyOf(undefined), pending };
}

/**
 * Its hosts are more than a scope takes. Objects of other tenants may be the cause, and may concern
 * all workloads at once, so the scopes go at the rate of withdrawals.
 */
function exceeds(barrier: Barrier | undefined): boolean {
  return barrier?.reason === 'TooManyEager' || barrier?.reason === 'ScopeTooLarge';
}

/** The size of full configuration can be read only while it is in force. */
function measuring({ total, unmeasured }: ProxyCount): Scoped {
  const message = `Lazyscope first reads the memory of ${unmeasured} of ${counted(total, 'proxy')}.`;
  return { status: 'False', reason: 'Measuring', message };
}

function notMeasured({ unmeasured }: ProxyCount): string {
  return unmeasured > 0
    ? ` The previous memory of ${counted(unmeasured, 'proxy')} is unknown.`
    : '';
}

function enforced(hosts: readonly string[]): Scoped {
  return {
    status: 'True',
    reason: 'Enforced',
    message: `Imports ${counted(hosts.length, 'host')}.`,
  };
}

/** With what is added, if one object can store that. */
function grown(before: readonly string[], added: readonly string[]): readonly string[] {
  const all = [...new Set([...before, ...added])].sort();
  return JSON.stringify(all).length > scopeBytesMax ? before : all;
}

/** Records do not change, and most evaluations compare with the one before. */
const specs = new WeakMap<SidecarRecord, string>();

function specOf(record: SidecarRecord): string {
  const known = specs.get(record) ?? canonical(record.spec);
  specs.set(record, known);
  return known;
}

function same(desired: KubeObject, current: SidecarRecord): boolean {
  return (
    canonical(desired.spec) === specOf(current) &&
    desired.metadata.ownerReferences?.[0]?.uid === current.ownerUid
  );
}
