import { type Known, knownWorkload, life } from '../../companion/controller/explain/known.ts';
import { planOf } from '../../companion/controller/reconcile/inputs.ts';
import { counted } from '../../companion/core/mesh/counted.ts';
import type { ScopeHost } from '../../companion/core/scope/hosts.ts';
import { sidecarName } from '../../companion/core/scope/sidecar.ts';
import { type Finding, inOrder, someOf } from '../core/finding.ts';
import { megabytes } from '../core/status-text.ts';
import { predictedSizes, sizeModel } from './clusters.ts';
import { differencesIn } from './differences.ts';
import type { Mesh } from './read.ts';

/** What to know before a namespace is enabled or enforced. */
export function checkNamespace(mesh: Mesh, namespace: string): Finding[] {
  const known = mesh.state
    .workloads(namespace)
    .flatMap(({ name }) => knownWorkload(mesh, namespace, name) ?? []);
  if (known.length === 0) return [noSidecar(namespace)];
  return inOrder([
    ...tooOld(mesh, namespace),
    ...known.flatMap((each) => barrierOf(mesh, each) ?? []),
    ...missingFilter(mesh, namespace, known),
    ...eagerHosts(namespace, known),
    ...differencesIn(mesh, namespace, known),
    enabling(namespace),
    ...saving(mesh, namespace, known),
  ]);
}

function noSidecar(namespace: string): Finding {
  return {
    ...{ id: 'NoProxies', severity: 'blocks', subject: namespace },
    sentence: 'no running pod of the namespace has a sidecar',
    remedy: `kubectl label namespace ${namespace} istio-injection=enabled, and restart its workloads`,
    page: 'manifests/README.md#modes',
  };
}

/**
 * Istio has translated WasmPlugins to TrafficExtensions since 1.30. Older releases serve the filter
 * under other names than those that the EnvoyFilter moves.
 */
function tooOld({ state }: Mesh, namespace: string): Finding[] {
  if (!state.installedFilter.isIstioTooOld()) return [];
  return [
    {
      ...{ id: 'IstioTooOld', severity: 'blocks', subject: namespace },
      sentence:
        'the API server has no definition of TrafficExtension, so Istio is older than 1.30, or its definitions are',
      remedy: 'upgrade Istio with its definitions to 1.30 or later',
      page: 'docs/istio.md',
    },
  ];
}

/** The reason that would prevent narrowing once the filter is installed and has learned. */
function barrierOf(mesh: Mesh, { workload, scope, hosts, isTooLarge }: Known): Finding | undefined {
  const { state, look } = mesh;
  const installedFilter = {
    ...state.installedFilter,
    ...{ missing: () => [], leftOut: () => [] },
    // It is a finding of the namespace.
    isIstioTooOld: () => false,
  };
  const total = workload.pods.length;
  const { ready } = planOf(
    { ...look, state: { ...state, installedFilter }, life },
    {
      ...{ workload, scope, hosts, isTooLarge, mode: 'enforce' },
      proxies: {
        ...{ total, live: total, silentMs: 0, judgedMs: 0, quorumMs: 0, lost: 0 },
        ...{ isDeaf: false, unmeasured: 0, measuringMs: 0 },
      },
      watched: { learningSince: 0, silentSince: undefined },
      budget: { admit: () => true },
    },
  );
  if (ready.status === 'True') return undefined;
  return {
    ...{ id: ready.reason, severity: 'blocks' },
    subject: `${workload.namespace}/${workload.name}`,
    sentence: ready.message,
    remedy: '',
    page: 'manifests/README.md#modes',
  };
}

function missingFilter({ state }: Mesh, namespace: string, known: readonly Known[]): Finding[] {
  const missing = state.installedFilter.missing(
    namespace,
    known.flatMap(({ workload }) => workload.pods),
  );
  if (missing.length === 0) return [];
  const { label, source } = state.namespaces.get(namespace) ?? {};
  const isEnabled = label !== undefined;
  const isByLog = source === 'access-log';
  return [
    {
      ...{ id: 'FilterMissing', severity: isEnabled ? 'blocks' : 'note', subject: namespace },
      sentence: `${isByLog ? 'the access log' : 'the filter'} is not installed for all of its pods: ${missing.join(', ')}`,
      remedy: isByLog
        ? 'apply a copy of manifests/example with the component namespace-access-log'
        : 'apply a copy of manifests/example; its component brings the filter',
      page: isByLog ? 'docs/access-log.md' : 'manifests/README.md#apply',
    },
  ];
}

function eagerHosts(namespace: string, known: readonly Known[]): Finding[] {
  const eager = new Map<string, ScopeHost>();
  for (const { hosts } of known)
    for (const host of hosts) if (host.reason === 'eager') eager.set(host.entry, host);
  if (eager.size === 0) return [];
  return [
    {
      ...{ id: 'eager', severity: 'note', subject: namespace },
      sentence: `${counted(eager.size, 'host')} cannot wait for a first call and would be in scopes from the beginning: ${someOf([...eager.keys()].sort())}`,
      remedy: 'exclude those that are never called (lazyscope exclude), or set exportTo',
      page: 'KNOWN_ISSUES.md#eager',
    },
  ];
}

function enabling(namespace: string): Finding {
  return {
    ...{ id: 'enabling', severity: 'note', subject: namespace },
    sentence:
      'TCP connections and WebSockets that are open when the filter comes are closed 45 s later (drainDuration)',
    remedy: 'enable when they can reconnect, or add manifests/components/on-restart',
    page: 'KNOWN_ISSUES.md#enabling',
  };
}

/** What narrowing would save, by what scopes have now; before anything was learned, at most. */
function saving(mesh: Mesh, namespace: string, all: readonly Known[]): Finding[] {
  const isNarrowed = ({ workload: { name } }: Known) =>
    mesh.state.sidecars.get(namespace, sidecarName({ name })) !== undefined;
  const known = all.filter((each) => !isNarrowed(each));
  // What it has saved is in the status.
  if (known.length === 0) return [];
  const { cluster, from } = sizeModel(mesh.state);
  const sizes = known.map(({ workload, hosts }) => ({
    proxies: workload.pods.length,
    ...predictedSizes(
      mesh,
      workload,
      hosts.map(({ entry }) => entry),
    ),
  }));
  const most = Math.max(...sizes.map(({ before }) => before.clusters));
  const saved = sizes.reduce(
    (sum, { before, after, proxies }) =>
      sum + Math.max(0, before.memoryBytes - after.memoryBytes) * proxies,
    0,
  );
  const isLearned = known.some(({ hosts }) => hosts.some(({ reason }) => reason === 'learned'));
  const proxies = known.reduce((sum, { workload }) => sum + workload.pods.length, 0);
  const bound = isLearned ? 'about' : 'at most';
  return [
    {
      ...{ id: 'saving', severity: 'note', subject: namespace },
      sentence: `narrowing ${counted(proxies, 'proxy')} of at most ${counted(most, 'cluster')} would save ${bound} ${megabytes(saved)}, at ${(cluster / 1000).toFixed(1)} kB a cluster as measured by ${from}`,
      remedy: isLearned ? '' : 'mode observe learns what is called, and changes no call',
      page: 'README.md#what-it-costs',
    },
  ];
}
