import { type Edge, type HostRef, mergeEdges } from '../core/edges.ts';
import { canonical, type Mode, type Plan, planScope } from '../core/plan.ts';
import { entryOf, type ScopeHost, scopeOf } from '../core/scope.ts';
import {
  admits,
  foreignSidecar,
  readSidecar,
  type SidecarRecord,
  shadowedSidecar,
  sidecarName,
} from '../core/sidecar.ts';
import type { Workload } from '../core/workload.ts';
import {
  readWorkloadScope,
  type ScopeRecord,
  statusChange,
  statusOf,
  workloadScopeOf,
} from '../core/workload-scope.ts';
import type { KubeObject, Resource } from '../kube.ts';
import type { Sink } from './sink.ts';
import type { State } from './state.ts';

export type ReconcileOptions = {
  state: State;
  writer: Sink;
  rootNamespace: string;
  sentinel: HostRef;
  gateway: HostRef;
  learningWindowMs: number;
  now: () => number;
};

export const sidecars: Resource = {
  group: 'networking.istio.io',
  version: 'v1',
  plural: 'sidecars',
};

/** Counts and usage are written at most this often for a workload, so that etcd stays calm. */
const calmMs = 30_000;
/** Hosts may come in bursts; the Sidecar has each at once, the record of them within a pass. */
const burstMs = 1_000;

export type Reconciler = {
  /** One look at a workload, `namespace/name`: edges, scope, plan, apply. */
  runOnce(key: string): Promise<'wrote' | 'nothing'>;
  /** Workloads whose wait for figures, or to record them, is over; each once. */
  takeDue(): string[];
};

export function createReconciler(options: ReconcileOptions): Reconciler {
  const { state, writer, now } = options;
  const statusWrittenAt = new Map<string, number>();
  const due = new Map<string, number>();
  // After a start, nodes need a moment before their silence means anything.
  const startedAt = now();

  async function runOnce(key: string): Promise<'wrote' | 'nothing'> {
    if (!writer.mayWrite()) return 'nothing';
    const [namespace = '', name = ''] = key.split('/');
    const workload = state.workloads(namespace).find((each) => each.name === name);
    if (!workload) return retire(options, namespace, name);
    const mode = modeOf(state, workload);
    if (!mode) return 'nothing';

    const ensured = await ensureScope(options, workload);
    const { scope } = ensured;
    const hosts = hostsOf(options, workload, scope);
    const plan = planOf(options, workload, scope, hosts, mode);
    const applied = await apply(options, plan);
    if (plan.scoped.reason === 'Measuring') {
      // A wait of moments; what comes of it is told.
      due.set(key, now() + state.proxies.count(workload.pods, now()).measuringMs);
      return ensured.wrote ? 'wrote' : 'nothing';
    }
    const told = await writeStatus({ workload, scope, hosts, plan, mode });
    return ensured.wrote || applied || told ? 'wrote' : 'nothing';
  }

  async function writeStatus(found: {
    workload: Workload;
    scope: ScopeRecord;
    hosts: ScopeHost[];
    plan: Plan;
    mode: Mode;
  }): Promise<boolean> {
    const { workload, scope, hosts, plan, mode } = found;
    const { namespace, name } = scope;
    const status = statusOf({
      mode,
      workload,
      hosts,
      proxies: state.proxies.count(workload.pods, now()),
      states: workload.pods.flatMap((pod) => state.proxies.of(pod) ?? []),
      scoped: plan.scoped,
      justScoped: plan.change.verb === 'create',
      before: scope.status,
      now: now(),
    });
    const change = statusChange(scope.status, status);
    const key = `${namespace}/${name}`;
    const isNews = scope.status?.conditions?.[0]?.reason !== plan.scoped.reason;
    const sinceMs = now() - (statusWrittenAt.get(key) ?? startedAt);
    const pauseMs = change === 'later' ? calmMs : statusWrittenAt.has(key) ? burstMs : 0;
    if (change === 'no') return false;
    if (!isNews && sinceMs < pauseMs) {
      if (change === 'soon') due.set(key, now() + pauseMs - sinceMs);
      return false;
    }
    const { spec: _, ...object } = workloadScopeOf(workload);
    statusWrittenAt.set(key, now());
    const written = await writer.apply({ ...object, status }, 'status');
    state.scopes.set(readWorkloadScope(written));
    if (isNews) await writer.tell(written, plan.scoped);
    return true;
  }

  function takeDue(): string[] {
    const keys = [...due].filter(([, at]) => at <= now()).map(([key]) => key);
    for (const key of keys) due.delete(key);
    return keys;
  }

  return { runOnce, takeDue };
}

/** Undefined: the namespace was never enabled, so nothing is written at all. */
function modeOf({ scopes, namespaces }: State, { namespace, name }: Workload): Mode | undefined {
  const scope = scopes.get(namespace, name);
  return scope?.mode ?? namespaces.get(namespace)?.mode ?? (scope && 'off');
}

async function ensureScope(
  { state, writer }: ReconcileOptions,
  workload: Workload,
): Promise<{ scope: ScopeRecord; wrote: boolean }> {
  const scope = state.scopes.get(workload.namespace, workload.name);
  if (scope?.uid && canonical(scope.selector) === canonical(workload.selector)) {
    return { scope, wrote: false };
  }
  const written = readWorkloadScope(await writer.apply(workloadScopeOf(workload)));
  state.scopes.set(written);
  return { scope: written, wrote: true };
}

function hostsOf(
  { state, sentinel, gateway, rootNamespace }: ReconcileOptions,
  workload: Workload,
  scope: ScopeRecord,
): ScopeHost[] {
  const { namespace } = workload;
  const shadowed = shadowedOf(state, namespace, rootNamespace);
  const hosts = scopeOf(state.catalog, {
    namespace,
    edges: edgesOf(state, workload),
    pins: scope.pins,
    excludes: scope.excludes,
    sentinel,
    gateway,
  });
  const ours = new Set([entryOf(sentinel), entryOf(gateway)]);
  return hosts.filter(({ entry }) => ours.has(entry) || admits(shadowed, entry, namespace));
}

/** Edges of all owners that share the scope. */
function edgesOf({ edges }: State, { namespace, owners }: Workload): Edge[] {
  return mergeEdges(owners.flatMap((owner) => edges.edgesFrom({ namespace, owner })));
}

function planOf(
  { state, rootNamespace, learningWindowMs, now }: ReconcileOptions,
  workload: Workload,
  scope: ScopeRecord,
  hosts: ScopeHost[],
  mode: Mode,
): Plan {
  const { namespace } = workload;
  const current = state.sidecars.get(namespace, sidecarName(workload));
  return planScope({
    workload,
    mode,
    owner: { name: scope.name, uid: scope.uid },
    hosts: hosts.map(({ entry }) => entry),
    shadowed: shadowedOf(state, namespace, rootNamespace),
    current: current?.ours ? current : undefined,
    foreign:
      current && !current.ours ? current : foreignSidecar(state.sidecars.in(namespace), workload),
    proxies: state.proxies.count(workload.pods, now()),
    learningMs: scope.created + learningWindowMs - now(),
  });
}

function shadowedOf({ sidecars: table }: State, namespace: string, rootNamespace: string) {
  return shadowedSidecar(
    [...table.in(namespace), ...table.in(rootNamespace)],
    namespace,
    rootNamespace,
  );
}

async function apply({ state, writer, now }: ReconcileOptions, { change }: Plan): Promise<boolean> {
  if (change.verb === 'none') return false;
  if (change.verb === 'delete') {
    await takeBack({ state, writer }, change.current);
    return true;
  }
  const written: KubeObject = await writer.apply(change.sidecar);
  const record = readSidecar(written);
  // Not left to the watch: the next look must not write the same again.
  state.sidecars.set(record);
  state.imports.note(record, now());
  return true;
}

/**
 * A scope whose workload is not there. Scaled to nothing, it waits as it is. Where its pods have
 * been joined to another workload, its Sidecar would stand in the way of the new one.
 */
async function retire(
  { state, writer }: ReconcileOptions,
  namespace: string,
  name: string,
): Promise<'wrote' | 'nothing'> {
  const scope = state.scopes.get(namespace, name);
  const sidecar = state.sidecars.get(namespace, sidecarName({ name }));
  if (!scope || !sidecar?.ours) return 'nothing';
  const joined = state.workloads(namespace).some(({ owners }) => owners.includes(name));
  const mode = scope.mode ?? state.namespaces.get(namespace)?.mode;
  if (!joined && mode === 'enforce') return 'nothing';
  await takeBack({ state, writer }, sidecar);
  return 'wrote';
}

async function takeBack(
  { state, writer }: Pick<ReconcileOptions, 'state' | 'writer'>,
  sidecar: SidecarRecord,
): Promise<void> {
  await writer.delete(sidecars, sidecar);
  state.sidecars.delete(sidecar.namespace, sidecar.name);
  state.imports.forget(sidecar.namespace, sidecar.name);
}
