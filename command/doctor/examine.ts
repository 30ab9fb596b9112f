import { readConfigDump } from '../../companion/core/oracle/config-dump.ts';
import type { KubeObject, Resource } from '../../companion/kube/object.ts';
import { podMetrics, type Reading } from '../advise/usage.ts';
import type { Cluster } from '../frame/cluster.ts';
import { CommandError } from '../frame/failure.ts';
import { readIstiods } from '../frame/istiods.ts';
import { readWholeMesh } from '../frame/mesh.ts';
import { kubeletsReading } from '../frame/sidecar-usage.ts';
import type { Session } from '../frame/verb.ts';
import { discoveryContainer } from '../mesh/istiod.ts';
import type { Mesh } from '../mesh/read.ts';
import type { Dumped, Examined } from './check.ts';

/** Each istiod takes one request; a mesh has a few. */
const istiodsMax = 20;
/** Each dump is a process in a pod and up to tens of megabytes on the way. */
const atOnce = 4;

/** Reads all that checks look at, with the user's rights; says what cannot be read, and goes on. */
export async function examine(session: Session, deep: number): Promise<Examined> {
  const cluster = await session.cluster();
  const byKind = new Map<string, KubeObject[]>();
  const keep = (objects: KubeObject[]) => {
    for (const object of objects) {
      const known = byKind.get(object.kind);
      if (known) known.push(object);
      else byKind.set(object.kind, [object]);
    }
    return objects;
  };
  const recording = { ...cluster, list: async (kind: Resource) => keep(await cluster.list(kind)) };
  const mesh = await readWholeMesh({ ...session, cluster: async () => recording });
  for (const kind of furtherKinds(mesh)) keep(await listed(session, cluster, kind));
  const of = (kind: string) => byKind.get(kind) ?? [];
  const { rootNamespace } = mesh.config;
  const isIstiod = (object: KubeObject) =>
    object.metadata.namespace === rootNamespace &&
    (object.metadata.labels?.app === 'istiod' || discoveryContainer(object) !== undefined);
  const istiods = of('Pod').filter((pod) => isIstiod(pod) && pod.status?.phase === 'Running');
  const proxies = proxiesOf(mesh, deep);
  if (of('PodMetrics').length === 0) keep(await usageOf(session, of('Pod'), proxies));
  return {
    ...{ mesh, of, now: session.now() },
    istiods: of('Deployment').filter(isIstiod),
    measured: await readIstiods(session, istiods.slice(0, istiodsMax)),
    dumped: await eachOf(session, proxies, (pod) => dump(cluster, pod)),
  };
}

/** Without a metrics API, the memory of these proxies by the kubelets of their nodes. */
async function usageOf(
  session: Session,
  pods: readonly KubeObject[],
  proxies: readonly Pod[],
): Promise<KubeObject[]> {
  const wanted = new Set(proxies.map(({ namespace, name }) => `${namespace}/${name}`));
  const isWanted = ({ metadata }: KubeObject) =>
    wanted.has(`${metadata.namespace}/${metadata.name}`);
  const nodes = new Set(
    pods.filter(isWanted).flatMap(({ spec }): string[] => spec?.nodeName ?? []),
  );
  const reading = await kubeletsReading(session, [...nodes]).catch((error) => {
    if (!(error instanceof CommandError)) throw error;
    session.out.warn(`${error.message}: proxy-near-limit finds nothing\n`);
    return new Map() as Reading;
  });
  return podMetrics(reading).filter(isWanted);
}

/** Kinds that no controller watches. */
function furtherKinds({ config: { namespace, rootNamespace } }: Mesh): Resource[] {
  const apps = { group: 'apps', version: 'v1' };
  const inSystem = [
    { ...apps, plural: 'deployments' },
    { ...apps, plural: 'daemonsets' },
    { group: 'coordination.k8s.io', version: 'v1', plural: 'leases' },
  ].map((kind) => ({ ...kind, namespace }));
  return [
    { ...apps, plural: 'deployments', namespace: rootNamespace },
    ...(namespace === rootNamespace ? inSystem.slice(1) : inSystem),
    { group: '', version: 'v1', plural: 'nodes' },
    { group: 'networking.k8s.io', version: 'v1', plural: 'networkpolicies' },
    { group: 'autoscaling', version: 'v2', plural: 'horizontalpodautoscalers' },
    { group: 'autoscaling.k8s.io', version: 'v1', plural: 'verticalpodautoscalers' },
    { group: 'security.istio.io', version: 'v1', plural: 'authorizationpolicies' },
    { group: 'telemetry.istio.io', version: 'v1', plural: 'telemetries' },
    { group: 'metrics.k8s.io', version: 'v1beta1', plural: 'pods' },
  ];
}

/** A kind that the cluster lacks has no objects; one that may not be read is named. */
async function listed(session: Session, cluster: Cluster, kind: Resource): Promise<KubeObject[]> {
  try {
    return await cluster.list(kind);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const status = (error.cause as { status?: number } | undefined)?.status;
    if (status !== 404) session.out.warn(`${error.message}: checks of it find nothing\n`);
    return [];
  }
}

/** A few at a time; one that cannot be read is named and left out. */
async function eachOf<Item, Result>(
  { out }: Session,
  items: readonly Item[],
  read: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const found: Result[] = [];
  const rest = items.values();
  const worker = async () => {
    for (const item of rest)
      try {
        found.push(await read(item));
      } catch (error) {
        if (!(error instanceof CommandError)) throw error;
        out.warn(`${error.message}: left out\n`);
      }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return found;
}

type Pod = { namespace: string; name: string };

/** One proxy of each workload first, narrowed ones before others, and then their next ones. */
function proxiesOf({ state }: Mesh, most: number): Pod[] {
  if (most === 0) return [];
  const groups = [...state.namespaces.keys()].flatMap((namespace) =>
    state.workloads(namespace).map((workload) => ({
      isNarrowed: state.sidecars.get(namespace, `lazyscope-${workload.name}`) !== undefined,
      pods: workload.pods.filter(({ hasSidecar, running }) => hasSidecar && running),
    })),
  );
  groups.sort((a, b) => Number(b.isNarrowed) - Number(a.isNarrowed));
  const rounds = Math.max(0, ...groups.map(({ pods }) => pods.length));
  return Array.from({ length: rounds }, (_, round) =>
    groups.flatMap(({ pods }) => pods[round] ?? []),
  )
    .flat()
    .slice(0, most);
}

async function dump(cluster: Cluster, { namespace, name }: Pod): Promise<Dumped> {
  const command = ['pilot-agent', 'request', 'GET', 'config_dump'];
  const text = await cluster.exec({ namespace, name, container: 'istio-proxy' }, command);
  try {
    return { namespace, name, dump: readConfigDump(text) };
  } catch (cause) {
    const what = `pod ${namespace}/${name}: its answer is no configuration of Envoy`;
    throw Object.assign(new CommandError(what, 'kubectl exec it by hand'), { cause });
  }
}
