import { counted } from '../../companion/core/mesh/counted.ts';
import type { KubeObject } from '../../companion/kube/object.ts';
import type { Advice } from '../core/advice.ts';
import { switchedOff } from '../doctor/istiod-settings.ts';
import { clustersOf, visibleHosts } from '../mesh/clusters.ts';
import {
  byLabel,
  compareVersions,
  countAbove,
  discoveryContainer,
  durationIn,
  environmentOf,
  isTrue,
  quantileOf,
  totalOf,
  versionIn,
} from '../mesh/istiod.ts';
import { type IstiodReading, reachOf } from '../mesh/istiod-reading.ts';
import type { Mesh } from '../mesh/read.ts';

/** One istiod with what it exports; `window`: the seconds between two readings. */
export type Istiod = IstiodReading & {
  deployment: KubeObject;
  pod: string;
  window: number | undefined;
};

type Rule = (istiod: Istiod, mesh: Mesh) => Omit<Advice, 'topic' | 'subject' | 'change'>[];

/** What to set on an istiod, by its metrics and environment. Each variable once per Deployment. */
export function istiodAdvice(mesh: Mesh, istiods: readonly Istiod[]): Advice[] {
  const found = new Map<string, Advice>();
  for (const istiod of istiods) {
    const { name, namespace } = istiod.deployment.metadata;
    const set = (text: string) => changeOf(text, `${namespace}`, name);
    for (const [rule, change] of rules)
      for (const each of rule(istiod, mesh)) {
        const subject = `${namespace}/${name}`;
        const key = `${subject} ${each.id}`;
        if (!found.has(key))
          found.set(key, { topic: 'istiod', subject, ...each, change: set(change) });
      }
  }
  return [...found.values()];
}

/** A variable of the Deployment, or what to do by hand. */
function changeOf(text: string, namespace: string, name: string): string {
  if (!/^[A-Z_]+=/.test(text)) return text;
  return `kubectl set env -n ${namespace} deployment/${name} ${text}`;
}

const seconds = (value: number) => `${value.toFixed(2)} s`;

function counting({ window }: Istiod) {
  const unknown =
    window === undefined
      ? 'the metrics count since this istiod started; --window SECONDS looks at now'
      : `what was before the ${counted(window, 'second')} of the window`;
  return { saves: '', unknown };
}

/** A quantile of a time in seconds; 0 without observations, and of the start of an istiod. */
function timeOf({ metrics, isStart }: Istiod, name: string, quantile: number): number {
  return isStart ? 0 : (quantileOf(metrics, name, quantile) ?? 0);
}

/** pilot/pkg/xds/monitoring.go: "4M" is the limit of gRPC, 10M strain the system. */
const sizes = [
  [10_000_000, '10 MB, which strains the system'],
  [4_000_000, '4 MB, the default limit of a gRPC message'],
  [1_000_000, '1 MB'],
] as const;

/** A held call waits at most so long (setting holdSeconds). */
const holdSeconds = 2;

const queue: Rule = (istiod) => {
  const p99 = timeOf(istiod, 'pilot_proxy_queue_time', 0.99);
  if (p99 <= 1) return [];
  return [
    {
      ...{ id: 'push-throttle', ...counting(istiod) },
      sentence:
        'let more proxies be pushed at once if istiod has CPU left, else add CPU or a replica',
      why: `p99 of pilot_proxy_queue_time is ${seconds(p99)}, above 1 s; the default is 15 + 5 for each CPU (pilot/pkg/features/tuning.go)`,
      worse:
        'each concurrent push takes CPU and memory; with CPU at its limit all pushes get slower',
    },
  ];
};

const pushContext: Rule = (istiod) => {
  const p90 = timeOf(istiod, 'pilot_pushcontext_init_seconds', 0.9);
  const set = durationIn(environmentOf(istiod.deployment).get('PILOT_DEBOUNCE_AFTER') ?? '') ?? 100;
  if (p90 <= 0.5 || set >= 500) return [];
  return [
    {
      ...{ id: 'debounce', ...counting(istiod) },
      sentence:
        'let istiod see fewer objects (lazyscope advise discovery), and then wait longer for changes to settle',
      why: `p90 of pilot_pushcontext_init_seconds is ${seconds(p90)}, above 0.5 s, with a debounce of ${set} ms: under steady changes contexts are built and not used (istio#45142)`,
      worse: 'every change reaches the proxies later, also a scope that a held call waits for',
    },
  ];
};

const debounce: Rule = (istiod) => {
  const { metrics, seconds: over } = istiod;
  const p99 = timeOf(istiod, 'pilot_debounce_time', 0.99);
  const [kind, events = 0] = byLabel(metrics, 'pilot_k8s_cfg_events', 'type')[0] ?? [];
  if (p99 <= 3) return [];
  const busy =
    kind && events > 0
      ? `, most events are of ${kind} (${((60 * events) / over).toFixed(1)} a minute)`
      : '';
  const [trigger = 'unknown'] = byLabel(metrics, 'pilot_push_triggers', 'type')[0] ?? [];
  return [
    {
      ...{ id: 'writers', ...counting(istiod) },
      sentence: 'find the controller that writes all the time',
      why: `p99 of pilot_debounce_time is ${seconds(p99)}, above 3 s (the default wait is 0.1 s); most pushes are for ${trigger}${busy}`,
      worse: '',
    },
  ];
};

const convergence: Rule = (istiod) => {
  const reach = reachOf(istiod);
  if (reach === undefined || reach.seconds <= holdSeconds) return [];
  const [waited, pushed] = [seconds(reach.waited), seconds(reach.pushed)];
  return [
    {
      ...{ id: 'convergence', ...counting(istiod) },
      sentence: 'let no namespace hold first calls until this is better',
      why: `p99 of pilot_debounce_time and of pilot_proxy_convergence_time are ${waited} and ${pushed}, together longer than a call is held (${holdSeconds} s)`,
      worse: 'first calls go by the gateway or directly, without the rules of their route',
    },
  ];
};

const size: Rule = (istiod) => {
  for (const [bound, text] of sizes) {
    const [found] = countAbove(istiod.metrics, 'pilot_xds_config_size_bytes', bound, 'type');
    if (!found) continue;
    const type = found[0].split('.').at(-1) ?? '';
    return [
      {
        ...{ id: 'config-size', ...counting(istiod) },
        sentence:
          'narrow the proxies, and show fewer hosts to gateways (PILOT_FILTER_GATEWAY_CLUSTER_CONFIG)',
        why: `${counted(found[1], 'push')} of ${type} above ${text} (pilot_xds_config_size_bytes; pilot/pkg/xds/monitoring.go)`,
        worse: '',
      },
    ];
  }
  return [];
};

const replicas: Rule = ({ metrics }) => {
  const proxies = totalOf(metrics, 'pilot_xds');
  if (proxies <= proxiesMax) return [];
  return [
    {
      ...{ id: 'replicas', saves: '', unknown: 'how busy this istiod is: look at its CPU first' },
      sentence: `add replicas: one for ${proxiesMax} proxies`,
      why: `pilot_xds is ${proxies} on one istiod; Istio's own measurement is ${proxiesMax} sidecars for 1 vCPU and 1.5 GB, with namespace isolation`,
      worse:
        'each replica watches the whole cluster; proxies move only when their streams end, after 30 minutes',
    },
  ];
};

/** Istio documentation, "Performance and Scalability". */
const proxiesMax = 2_000;

const gateway: Rule = ({ deployment }, mesh) => {
  const isSet = isTrue(environmentOf(deployment).get('PILOT_FILTER_GATEWAY_CLUSTER_CONFIG') ?? '');
  const { rootNamespace } = mesh.config;
  const all = clustersOf(mesh, visibleHosts(mesh.state.catalog, rootNamespace), rootNamespace);
  const named = new Set(mesh.gatewayHosts.map(({ host }) => host)).size;
  if (isSet || all < 200 || named * 10 > all) return [];
  return [
    {
      id: 'gateway-clusters',
      sentence: 'give gateways only the clusters that their routes name',
      why: `a gateway has about ${counted(all, 'cluster')}, and the rules of gateways name ${counted(named, 'host')} (a tenth or less)`,
      saves: `most of the memory of each gateway, and pushes to it for other hosts`,
      worse:
        'a gateway that reaches a host by an EnvoyFilter or an extension provider alone may lose it',
      unknown: 'which clusters EnvoyFilters of gateways name',
    },
  ];
};

/** A listener for each address of a headless TCP Service; one for all since Istio 1.32. */
const headless: Rule = ({ deployment }, mesh) => {
  const version = versionIn(discoveryContainer(deployment)?.image);
  const isNew = version && compareVersions(version, { major: 1, minor: 32, patch: 0 }) >= 0;
  const name = 'PILOT_ENABLE_HEADLESS_FILTER_CHAIN_LISTENER';
  if (!isNew || isTrue(environmentOf(deployment).get(name) ?? '')) return [];
  const { catalog } = mesh.state;
  const listeners = [...catalog.hosts.patterns()]
    .flatMap((host) => catalog.hosts.exact(host))
    .filter((record) => record.headless)
    .reduce((sum, record) => {
      const tcp = record.ports.filter(({ protocol }) => protocol === 'tcp').length;
      const addresses = [...catalog.slicesOf(record)].flatMap(({ endpoints }) => endpoints);
      return sum + tcp * addresses.length;
    }, 0);
  if (listeners <= listenersMax) return [];
  return [
    {
      id: 'headless-listeners',
      sentence: 'let headless TCP Services share one listener for each port',
      why: `${counted(listeners, 'listener')} for pods of headless TCP Services in each proxy with full configuration, above ${listenersMax}`,
      saves:
        'their memory in each such proxy, and a push of listeners for each pod that comes or goes',
      worse: 'listeners are replaced when it is switched on, which closes their open connections',
      unknown: '',
    },
  ];
};

/** Each takes tens of kB of a proxy; fewer than this are not worth a restart of istiod. */
const listenersMax = 500;

const environment: Rule = ({ deployment }) =>
  switchedOff(deployment).map(({ name, value, why }) => ({
    ...{ id: name, saves: 'CPU of istiod', unknown: 'why it was set' },
    sentence: `remove ${name}=${value}`,
    why,
    worse: '',
  }));

const rules: readonly [Rule, change: string][] = [
  [queue, 'PILOT_PUSH_THROTTLE=100'],
  [pushContext, 'PILOT_DEBOUNCE_AFTER=500ms'],
  [debounce, '# kubectl get --watch the kind that is named, and look at metadata.managedFields'],
  [convergence, '# lazyscope.io/first-call: direct or gateway on the namespaces that say hold'],
  [size, '# lazyscope mode enforce, and see gateway-clusters'],
  [replicas, '# pilot.autoscaleMin of the values of istiod'],
  [gateway, 'PILOT_FILTER_GATEWAY_CLUSTER_CONFIG=true'],
  [headless, 'PILOT_ENABLE_HEADLESS_FILTER_CHAIN_LISTENER=true'],
  [environment, '# remove it from the values of istiod (pilot.env)'],
];
