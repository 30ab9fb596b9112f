import type { ReportedEdge } from '../companion/contract/rpc.ts';
import type { NodeMessages } from '../companion/controller/nodes/messages.ts';
import type { KubeObject } from '../companion/kube/object.ts';
import type { Registry as Objects } from '../embedded/registry.ts';

export type LifeSize = { workloads: number; pods: number; services: number; nodes: number };

type Pod = { object: KubeObject; calls: () => readonly number[]; counted: number };

const perNamespace = 50;
const namespaceOf = (index: number) => `app-${Math.floor(index / perNamespace)}`;

/** The objects of a mesh whose parts come and go, and what its node companions report. */
export function createLifeObjects(
  objects: Objects,
  messages: NodeMessages,
  size: LifeSize,
  destinationsOf: (turn: number, workload: number) => readonly number[],
) {
  const pods = new Map<string, Pod>();
  const ownersPods = new Map<string, string[]>();
  const nodes = Array.from({ length: size.nodes }, (_, n) => `node-${n}`);
  const services = Array.from({ length: size.services }, (_, n) => `service-${n}`);
  const turns = Array.from({ length: size.workloads }, () => 0);
  const ends: { at: number; pod: string }[] = [];
  const made = { pods: 0, runs: 0, services: 0, nodes: 0, rollouts: 0, changes: 0 };

  function put(kind: string, name: string, namespace: string | undefined, more: object) {
    const metadata = { name, ...(namespace && { namespace }) };
    const { metadata: own, ...rest } = more as Partial<KubeObject>;
    return objects.put({ apiVersion: 'v1', kind, ...rest, metadata: { ...metadata, ...own } });
  }

  const serviceNamespace = (index: number) => `apps-${Math.floor(index / perNamespace)}`;
  function putService(index: number): void {
    const name = services[index] ?? '';
    const spec = { ports: [{ name: 'http', port: 8080 }], selector: { app: name } };
    put('Service', name, serviceNamespace(index), { spec });
  }

  function addPod(owner: { kind: string; name: string }, index: number, calls: Pod['calls']) {
    made.pods += 1;
    const name = `${owner.name}-${made.pods}`;
    const namespace = namespaceOf(index);
    const [high, low] = [(made.pods >> 8) & 255, made.pods & 255];
    const object = put('Pod', name, namespace, {
      metadata: {
        labels: { app: owner.name, 'security.istio.io/tlsMode': 'istio' },
        ownerReferences: [{ apiVersion: 'v1', uid: owner.name, controller: true, ...owner }],
      },
      spec: {
        nodeName: nodes[made.pods % nodes.length],
        containers: [{ name: 'istio-proxy' }],
      },
      status: {
        phase: 'Running',
        podIPs: [{ ip: `10.${100 + (made.pods >> 16)}.${high}.${low}` }],
      },
    });
    const key = `${namespace}/${name}`;
    pods.set(key, { object, calls, counted: 0 });
    report({ namespace, pod: name });
    return key;
  }

  function removePod(key: string): void {
    const { object } = pods.get(key) ?? {};
    if (!object) return;
    pods.delete(key);
    const { name: pod, namespace = '', uid: podUid = '' } = object.metadata;
    messages.onGone(object.spec.nodeName, { namespace, pod, podUid });
    objects.remove(object);
  }

  function start(workload: number): void {
    const owner = { kind: 'StatefulSet', name: `workload-${workload}` };
    const calls = () => destinationsOf(turns[workload] ?? 0, workload);
    const keys = Array.from({ length: size.pods }, () => addPod(owner, workload, calls));
    ownersPods.set(owner.name, keys);
  }

  function edgeOf(index: number, count: number): ReportedEdge {
    const host = `${services[index]}.${serviceNamespace(index)}.svc.cluster.local`;
    return { cluster: `outbound|8080||${host}`, secondsSinceSeen: 0, count };
  }

  function report({ namespace, pod }: { namespace: string; pod: string }): void {
    const known = pods.get(`${namespace}/${pod}`);
    if (!known) return;
    known.counted += 1;
    messages.onReport(known.object.spec.nodeName, {
      ...{ namespace, pod, podUid: known.object.metadata.uid ?? '', filterVersion: '0.1.0' },
      edges: known.calls().map((index) => edgeOf(index, known.counted)),
      stats: { allocatedBytes: 12e6, physicalBytes: 20e6, clusters: 25 },
      ...{ overflow: 0, secondsSinceHeartbeat: 0 },
    });
  }

  for (let first = 0; first < size.workloads; first += perNamespace)
    put('Namespace', namespaceOf(first), undefined, {
      metadata: { labels: { 'lazyscope.io/mode': 'enforce' } },
    });
  for (let index = 0; index < size.services; index++) putService(index);
  for (const node of nodes) messages.onOpened(node);
  for (let workload = 0; workload < size.workloads; workload++) start(workload);

  return {
    report,
    /** The reports of the pods whose turn it is in this second. */
    reportSome(second: number, every: number): void {
      let n = 0;
      for (const { object } of pods.values()) {
        const { namespace = '', name } = object.metadata;
        if (n++ % every === second % every) report({ namespace, pod: name });
      }
    },
    /** All pods of the next workload are replaced. */
    rollOut(): void {
      const workload = made.rollouts++ % size.workloads;
      const before = ownersPods.get(`workload-${workload}`) ?? [];
      start(workload);
      for (const key of before) removePod(key);
    },
    /** A Job that runs under a new name. */
    startRun(until: number): void {
      const name = `nightly-${29_384_756 + made.runs}`;
      const index = made.runs++ % size.workloads;
      const calls = () => destinationsOf(0, index).slice(0, 3);
      ends.push({ at: until, pod: addPod({ kind: 'Job', name }, index, calls) });
    },
    endRuns(second: number): void {
      while (ends[0] && ends[0].at <= second) removePod(ends.shift()?.pod ?? '');
    },
    /** A service ends, and one with another name takes its place. */
    replaceService(): void {
      const index = (made.services * 7) % size.services;
      const before = objects.get('Service', serviceNamespace(index), services[index] ?? '');
      if (before) objects.remove(before);
      services[index] = `service-${size.services + made.services++}`;
      putService(index);
    },
    /** A node ends with its pods, which start on others. */
    replaceNode(): void {
      const index = made.nodes++ % nodes.length;
      const gone = nodes[index] ?? '';
      nodes[index] = `node-${size.nodes + made.nodes}`;
      messages.onOpened(nodes[index] ?? '');
      messages.onClosed(gone);
      for (const [name, keys] of ownersPods) {
        const isHit = keys.some((key) => pods.get(key)?.object.spec.nodeName === gone);
        if (!isHit) continue;
        start(Number(name.replace('workload-', '')));
        for (const key of keys) removePod(key);
      }
    },
    /** The next workload calls others than before. */
    changeCalls(): void {
      const workload = made.changes++ % size.workloads;
      turns[workload] = (turns[workload] ?? 0) + 1;
    },
  };
}
