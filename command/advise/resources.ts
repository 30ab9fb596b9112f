import { counted } from '../../companion/core/mesh/counted.ts';
import { selects } from '../../companion/core/mesh/label-selector.ts';
import { conditionIn } from '../../companion/core/scope/condition.ts';
import type { Workload } from '../../companion/core/scope/workload.ts';
import type { KubeObject } from '../../companion/kube/object.ts';
import type { Advice } from '../core/advice.ts';
import { proxyIn } from '../core/proxy-container.ts';
import { mebibytes, readQuantity } from '../core/quantity.ts';
import type { Mesh } from '../mesh/read.ts';
import type { Usage, UsageOf } from './usage.ts';

/** Requests and limits of sidecars by what they used. */

/** Head-room over what was measured; a sidecar that is killed or throttled stops its workload. */
const headroom = { request: 1.2, memoryLimit: 1.5 };
const [memoryMin, cpuMin, cpuLimitMin] = [32 * 2 ** 20, 0.01, 0.2];
const [hourMs, dayMs] = [3_600_000, 86_400_000];

type Resources = { requests?: Record<string, string>; limits?: Record<string, string> };
type Container = { name: string; resources?: Resources };

export type ResourcesInput = {
  mesh: Mesh;
  pods: readonly KubeObject[];
  autoscalers: readonly KubeObject[];
  usageOf: UsageOf;
  rangeMs: number;
  now: number;
  namespace: string | undefined;
};

export type ResourcesAdvice = {
  advice: Advice[];
  /** Over all pods: what they request now, and would request. */
  total: {
    pods: number;
    memoryBefore: number;
    memoryAfter: number;
    cpuBefore: number;
    cpuAfter: number;
  };
};

export async function resourcesAdvice(input: ResourcesInput): Promise<ResourcesAdvice> {
  const { mesh, namespace } = input;
  const names = namespace === undefined ? [...mesh.state.namespaces.keys()] : [namespace];
  const total = { pods: 0, memoryBefore: 0, memoryAfter: 0, cpuBefore: 0, cpuAfter: 0 };
  const advice: Advice[] = [];
  const podsByName = new Map(
    input.pods.map((pod) => [`${pod.metadata.namespace}/${pod.metadata.name}`, pod]),
  );
  for (const workload of names.flatMap((name) => mesh.state.workloads(name))) {
    const object = workload.pods
      .map((pod) => podsByName.get(`${workload.namespace}/${pod.name}`))
      .find((pod) => pod !== undefined);
    const found = object && (await adviceFor(input, workload, object));
    if (!found) continue;
    const { now, then, pods } = found;
    total.pods += pods;
    total.memoryBefore += now.memory * pods;
    total.memoryAfter += then.memory * pods;
    total.cpuBefore += now.cpu * pods;
    total.cpuAfter += then.cpu * pods;
    advice.push(found.advice);
  }
  return { advice, total };
}

/** `object`: one of the pods of the workload, for all of them. */
async function adviceFor(input: ResourcesInput, workload: Workload, object: KubeObject) {
  const { usageOf } = input;
  const { namespace, name } = workload;
  const own = new Set(workload.pods.map((pod) => pod.name));
  const proxy = proxyOf(object);
  if (!proxy) return undefined;
  const window = windowOf(input, workload);
  const usage = await usageOf(window.rangeMs);
  const measured = [...own].flatMap((pod) => usage.get(`${namespace}/${pod}`) ?? []);
  if (measured.length === 0) return undefined;
  const most = (key: keyof Usage) => Math.max(...measured.map((each) => each[key]));
  const then = {
    memory: Math.max(memoryMin, most('memoryP95') * headroom.request),
    memoryLimit: Math.max(memoryMin * 2, most('memoryMax') * headroom.memoryLimit),
    cpu: Math.max(cpuMin, most('cpuP95') * headroom.request),
    cpuLimit: Math.max(cpuLimitMin, most('cpuMax') * 2, readQuantity(proxy.limits?.cpu) ?? 0),
  };
  const isGuaranteed = object.status?.qosClass === 'Guaranteed';
  if (isGuaranteed) Object.assign(then, { memory: then.memoryLimit, cpu: then.cpuLimit });
  const now = {
    memory: readQuantity(proxy.requests?.memory) ?? 0,
    cpu: readQuantity(proxy.requests?.cpu) ?? 0,
  };
  const annotations = {
    'sidecar.istio.io/proxyCPU': `${Math.ceil(then.cpu * 1000)}m`,
    'sidecar.istio.io/proxyCPULimit': `${Math.ceil(then.cpuLimit * 1000)}m`,
    'sidecar.istio.io/proxyMemory': mebibytes(then.memory),
    'sidecar.istio.io/proxyMemoryLimit': mebibytes(then.memoryLimit),
  };
  const advice: Advice = {
    ...{ topic: 'resources', id: 'sidecar', subject: `${namespace}/${name}` },
    sentence: `request ${annotations['sidecar.istio.io/proxyMemory']} and ${annotations['sidecar.istio.io/proxyCPU']} for each sidecar instead of ${mebibytes(now.memory)} and ${millicores(now.cpu)}`,
    why: `of ${counted(measured.length, 'proxy')} in ${window.text} p95 and maximum are ${mebibytes(most('memoryP95'))} and ${mebibytes(most('memoryMax'))}, ${millicores(most('cpuP95'))} and ${millicores(most('cpuMax'))}; head-room: requests 20 % above p95, limit of memory 50 % and of CPU 100 % above the maximum, and no CPU limit below the present one`,
    saves: savedText(now, then, own.size),
    worse: [
      ...(isOlderThanScope(input, workload) ? [holdsFreed] : []),
      ...warningsFor(input, workload, object, proxy.isNative, isGuaranteed),
    ].join('; '),
    unknown: window.unknown,
    change: patchOf(object, workload, annotations),
  };
  return { advice, now, then, pods: own.size };
}

type Amounts = { memory: number; cpu: number };

const millicores = (value: number) => `${Math.round(value * 1000)}m`;

/** Over all proxies of a workload; one that uses more than it requests saves nothing there. */
function savedText(now: Amounts, then: Amounts, proxies: number): string {
  const [memory, cpu] = [(now.memory - then.memory) * proxies, (now.cpu - then.cpu) * proxies];
  const where = ` in ${counted(proxies, 'proxy')}`;
  if (memory >= 0 || cpu > 0) {
    const more = memory < 0 ? `; ${mebibytes(-memory)} of memory more are reserved` : '';
    return `${mebibytes(Math.max(0, memory))} and ${millicores(Math.max(0, cpu))}${where}${more}`;
  }
  return `nothing: ${mebibytes(-memory)} more are reserved${where}, because the proxies use more than they request`;
}

const holdsFreed =
  'the proxies are older than their scope and hold memory that they freed: restart them and ask again before you set this';

/** Whether a proxy that was measured has had full configuration since it started. */
function isOlderThanScope({ mesh, pods }: ResourcesInput, workload: Workload): boolean {
  const { namespace, name } = workload;
  const scoped = conditionIn(mesh.state.scopes.get(namespace, name)?.status, 'Scoped');
  if (scoped?.status !== 'True') return false;
  const since = Date.parse(scoped.lastTransitionTime);
  const own = new Set(workload.pods.map((pod) => pod.name));
  return pods.some(({ metadata, status }) => {
    if (metadata.namespace !== namespace || !own.has(metadata.name)) return false;
    type Status = { name: string; state?: { running?: { startedAt?: string } } };
    const proxy = proxyIn<Status>(status?.containerStatuses, status?.initContainerStatuses);
    return Date.parse(proxy?.state?.running?.startedAt ?? '') < since;
  });
}

/** From when the scope came into force, if that is within the window: before, it was larger. */
function windowOf({ mesh, rangeMs, now }: ResourcesInput, { namespace, name }: Workload) {
  const scoped = conditionIn(mesh.state.scopes.get(namespace, name)?.status, 'Scoped');
  const since = scoped?.status === 'True' ? now - Date.parse(scoped.lastTransitionTime) : undefined;
  const used = since === undefined ? rangeMs : Math.min(rangeMs, Math.max(hourMs, since));
  const hours = Math.ceil(used / hourMs);
  const length =
    used < hourMs ? counted(Math.round(used / 1_000), 'second') : counted(hours, 'hour');
  const text = `the last ${length}${used < rangeMs ? ', since the scope is in force' : ''}`;
  const unknown = [
    ...(used < dayMs ? ['the window is shorter than a day: run it again later'] : []),
    ...(since === undefined ? ['what the sidecar takes once it is narrowed'] : []),
    'proxies that were not restarted since then may hold freed memory',
  ];
  return { rangeMs: hours * hourMs, text, unknown: unknown.join('; ') };
}

function proxyOf({ spec }: KubeObject): (Resources & { isNative: boolean }) | undefined {
  const native = proxyIn<Container>(spec?.initContainers);
  const found = native ?? proxyIn<Container>(spec?.containers);
  return found && { ...found.resources, isNative: native !== undefined };
}

function warningsFor(
  { autoscalers }: ResourcesInput,
  workload: Workload,
  pod: KubeObject,
  isNative: boolean,
  isGuaranteed: boolean,
): string[] {
  type Metric = { type: string; resource?: { name: string } };
  const scalers = autoscalers.filter(
    ({ metadata, spec }) =>
      metadata.namespace === workload.namespace &&
      workload.owners.includes(spec?.scaleTargetRef?.name) &&
      ((spec?.metrics ?? []) as Metric[]).some(({ type }) => type === 'Resource'),
  );
  const isBatch =
    selects({ 'koordinator.sh/qosClass': 'BE' }, pod.metadata.labels ?? {}) ||
    pod.spec?.priorityClassName === 'koord-batch';
  return [
    'pods restart with the new annotations',
    ...scalers.map(
      ({ metadata }) =>
        `HorizontalPodAutoscaler ${metadata.name} divides by the requests of all containers: change it to ContainerResource first`,
    ),
    ...(isNative
      ? ['a VPA does not see a native sidecar before VPA 1.8: use the annotations']
      : []),
    ...(isGuaranteed ? ['the pod is Guaranteed, so requests stay equal to limits'] : []),
    ...(isBatch
      ? [
          'the pod uses batch resources, which annotations cannot give: use a custom injection template',
        ]
      : []),
  ];
}

const kinds: Record<string, string> = {
  ReplicaSet: 'deployment',
  StatefulSet: 'statefulset',
  DaemonSet: 'daemonset',
};

/** All four annotations: a single one switches all defaults of the injector off. */
function patchOf(pod: KubeObject, { namespace, owners }: Workload, annotations: object): string {
  const kind = kinds[pod.metadata.ownerReferences?.[0]?.kind ?? ''];
  const patch = JSON.stringify({ spec: { template: { metadata: { annotations } } } });
  if (kind)
    return owners
      .map((owner) => `kubectl patch ${kind} -n ${namespace} ${owner} --type merge -p '${patch}'`)
      .join('\n');
  const lines = Object.entries(annotations).map(([key, value]) => `  ${key}: "${value}"`);
  return ['annotations: # of the pod template', ...lines].join('\n');
}
