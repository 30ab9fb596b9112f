import { edgesOf } from '../../companion/controller/reconcile/inputs.ts';
import { counted } from '../../companion/core/mesh/counted.ts';
import type { HostRecord } from '../../companion/core/mesh/records.ts';
import { conditionIn } from '../../companion/core/scope/condition.ts';
import { sidecarName } from '../../companion/core/scope/sidecar.ts';
import type { Advice } from '../core/advice.ts';
import { someOf } from '../core/finding.ts';
import { megabytes } from '../core/status-text.ts';
import { clustersOf, sizeModel } from './clusters.ts';
import type { Mesh } from './read.ts';

/**
 * Which namespaces istiod need not watch, and which hosts need not be seen by everybody. Nothing is
 * proposed that a proxy may use: a namespace with sidecars whose calls are not known yet keeps what
 * it sees.
 */
export function discoveryAdvice(mesh: Mesh): Advice[] {
  const view = viewOf(mesh);
  const hidden = unwatchable(view);
  return [
    ...leaveOut(view, hidden),
    ...[...view.hosts.keys()]
      .filter((name) => !hidden.includes(name))
      .flatMap((name) => keepIn(view, name)),
  ];
}

type View = {
  mesh: Mesh;
  /** Hosts of each namespace, of Services and ServiceEntries. */
  hosts: Map<string, HostRecord[]>;
  /** Proxies of each namespace that has sidecars: all, and those without a Sidecar of ours. */
  proxies: Map<string, { all: number; full: number }>;
  /** Namespaces with sidecars whose calls are not, or not all, known. */
  unobserved: string[];
  /** Which other namespaces use hosts of a namespace, by learned calls or by rules. */
  users: Map<string, Set<string>>;
};

function viewOf(mesh: Mesh): View {
  const { state } = mesh;
  const hosts = new Map<string, HostRecord[]>();
  for (const record of [...state.catalog.hosts.patterns()].flatMap((each) =>
    state.catalog.hosts.exact(each),
  ))
    hosts.set(record.namespace, [...(hosts.get(record.namespace) ?? []), record]);
  const view: View = {
    ...{ mesh, hosts, unobserved: [] },
    ...{ proxies: new Map(), users: new Map() },
  };
  const use = (by: string, of: string) => {
    if (by !== of) view.users.set(of, (view.users.get(of) ?? new Set()).add(by));
  };
  for (const namespace of state.namespaces.keys()) {
    const workloads = state.workloads(namespace);
    if (workloads.length === 0) continue;
    const isScoped = (name: string) =>
      state.sidecars.get(namespace, sidecarName({ name })) !== undefined;
    const count = (of: typeof workloads) => of.reduce((sum, { pods }) => sum + pods.length, 0);
    const full = count(workloads.filter(({ name }) => !isScoped(name)));
    view.proxies.set(namespace, { all: count(workloads), full });
    const isReady = (name: string) =>
      conditionIn(state.scopes.get(namespace, name)?.status, 'Ready')?.status === 'True';
    if (!workloads.every(({ name }) => isReady(name))) view.unobserved.push(namespace);
    for (const workload of workloads)
      for (const edge of edgesOf(state, workload)) use(namespace, edge.namespace);
  }
  useByRules(view, use);
  return view;
}

/** Rules name hosts of other namespaces, also those of gateways. */
function useByRules({ mesh }: View, use: (by: string, of: string) => void): void {
  const { catalog } = mesh.state;
  const hostsOf = (host: string) => catalog.hosts.exact(host);
  for (const { namespace, host } of mesh.gatewayHosts)
    for (const record of hostsOf(host)) use(namespace, record.namespace);
  const rules = [...catalog.virtualServices.patterns()].flatMap((host) =>
    catalog.virtualServices.exact(host),
  );
  for (const { namespace, hosts, destinations } of rules)
    for (const host of [...hosts, ...destinations])
      for (const record of hostsOf(host)) use(namespace, record.namespace);
}

/** The API server and DNS: anybody may call them, if rarely. */
const always = ['default', 'kube-system'];

/** What is less is shown as 0.0 MB. */
const measurableBytes = 50_000;
/** The share of the hosts of istiod that is worth a change of what it watches. */
const worthyShare = 0.02;

/** Namespaces with Services that nobody with a proxy uses, and without a proxy of their own. */
function unwatchable({ mesh, hosts, proxies, users, unobserved }: View): string[] {
  if (unobserved.length > 0) return [];
  const { rootNamespace, namespace: own } = mesh.config;
  const isSet = [...mesh.state.discovery.values()].some((selectors) => selectors.length > 0);
  if (isSet) return [];
  return [...hosts.keys()]
    .filter((name) => !proxies.has(name) && !users.has(name))
    .filter((name) => ![rootNamespace, own, ...always].includes(name))
    .sort();
}

function leaveOut(view: View, names: readonly string[]): Advice[] {
  const { mesh, hosts, unobserved } = view;
  if (unobserved.length > 0) return [waitFor(unobserved)];
  if (names.length === 0) return [];
  const all = [...hosts.values()].reduce((sum, records) => sum + records.length, 0);
  const theirs = names.flatMap((name) => hosts.get(name) ?? []);
  const saved = savingOf(view, theirs, []);
  if (saved.bytes < measurableBytes && theirs.length < all * worthyShare) return [];
  return [
    {
      ...{ topic: 'discovery', id: 'discovery-selectors', subject: mesh.config.rootNamespace },
      sentence: `let istiod not watch ${counted(names.length, 'namespace')}: ${someOf(names)}`,
      why: 'no pod there has a sidecar, no scope has learned a call to them, and no rule or gateway names their hosts',
      saves: `${saved.text}; istiod keeps ${all - theirs.length} of ${counted(all, 'host')}`,
      worse:
        'a first call to them would go through as to an unknown address, without rules and metrics; Istio objects in them have no effect',
      unknown:
        'calls of pods without a sidecar do not matter; calls of ingress gateways by EnvoyFilter are not looked at',
      change: [
        'meshConfig:',
        '  discoverySelectors:',
        '    - matchExpressions:',
        '        - key: kubernetes.io/metadata.name',
        '          operator: NotIn',
        `          values: [${names.join(', ')}]`,
      ].join('\n'),
    },
  ];
}

function waitFor(unobserved: readonly string[]): Advice {
  return {
    ...{ topic: 'discovery', id: 'observe-first', subject: 'mesh' },
    sentence: `observe ${counted(unobserved.length, 'namespace')} first: ${someOf(unobserved)}`,
    why: 'they have sidecars, and what these call is not known for every workload',
    saves: '',
    worse: 'nothing: mode observe narrows nothing',
    unknown:
      'until then nothing is hidden from them below, and no namespace is left out of the discovery',
    change: unobserved
      .map((name) => `kubectl label namespace ${name} lazyscope.io/mode=observe`)
      .join('\n'),
  };
}

/** `exportTo` for the hosts of a namespace that few namespaces use. */
function keepIn(view: View, namespace: string): Advice[] {
  const { mesh, users, proxies, unobserved } = view;
  const own = [mesh.config.namespace, mesh.config.rootNamespace, ...always];
  const records = (view.hosts.get(namespace) ?? []).filter(
    ({ exportTo }) => exportTo === undefined,
  );
  if (records.length === 0 || own.includes(namespace)) return [];
  const concerned = [...(users.get(namespace) ?? [])].sort();
  const kept = [...new Set([...concerned, ...unobserved])]
    .filter((name) => name !== namespace)
    .sort();
  const others = [...proxies.keys()].filter((name) => name !== namespace && !kept.includes(name));
  if (others.length === 0) return [];
  const saved = savingOf(view, records, [namespace, ...kept]);
  if (saved.bytes < measurableBytes) return [];
  const to = ['.', ...kept].join(',');
  const entries = records.filter(({ kind }) => kind === 'entry');
  const services = records.length - entries.length;
  return [
    {
      ...{ topic: 'discovery', id: 'export-to', subject: namespace },
      sentence: `show ${counted(services, 'Service')} and ${counted(entries.length, 'host')} of ServiceEntries to ${kept.length === 0 ? 'the namespace itself' : counted(kept.length + 1, 'namespace')} instead of all`,
      why:
        concerned.length === 0
          ? 'no other namespace has called them, and no rule or gateway of another one names them'
          : `of the others only these have called them or name them in a rule: ${someOf(concerned)}`,
      saves: saved.text,
      worse: `concerned: proxies of ${someOf(others.sort())}; a first call from there becomes one to an unknown address`,
      unknown:
        unobserved.length > 0
          ? `what ${someOf(unobserved)} call, so they still see them`
          : 'calls longer ago than the ttl of the scopes',
      change: [
        ...(services > 0
          ? [`kubectl annotate service -n ${namespace} --all networking.istio.io/exportTo='${to}'`]
          : []),
        ...[...new Set(entries.map(({ name }) => name))].map(
          (name) =>
            `kubectl patch serviceentry -n ${namespace} ${name} --type merge -p '${JSON.stringify({ spec: { exportTo: to.split(',') } })}'`,
        ),
      ].join('\n'),
    },
  ];
}

/** Of the proxies with full configuration in namespaces that would not see the hosts any more. */
function savingOf(
  { mesh, proxies }: View,
  records: readonly HostRecord[],
  seers: readonly string[],
): { bytes: number; text: string } {
  const losing = [...proxies].filter(([name]) => !seers.includes(name));
  const { cluster, from } = sizeModel(mesh.state);
  const sums = losing.map(([name, { full }]) => full * clustersOf(mesh, records, name));
  const clusters = sums.reduce((a, b) => a + b, 0);
  const full = losing.reduce((sum, [, each]) => sum + each.full, 0);
  const scoped = losing.reduce((sum, [, each]) => sum + each.all - each.full, 0);
  const bytes = clusters * cluster;
  const inFull = `${megabytes(bytes)} in ${counted(full, 'proxy')} with full configuration, at ${(cluster / 1000).toFixed(1)} kB a cluster by ${from}`;
  const inScoped = `nothing in ${counted(scoped, 'narrowed proxy')}`;
  const parts = [...(full > 0 || scoped === 0 ? [inFull] : []), ...(scoped > 0 ? [inScoped] : [])];
  return { bytes, text: parts.join('; ') };
}
