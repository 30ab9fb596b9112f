import type { KubeObject } from '../../companion/kube/object.ts';
import { proxyIn } from '../core/proxy-container.ts';
import type { Check } from './check.ts';

/** Memory and CPU of sidecars, by what pods say. */

const keys = ['proxyCPU', 'proxyCPULimit', 'proxyMemory', 'proxyMemoryLimit'];
const annotation = (key: string) => `sidecar.istio.io/${key}`;

type Container = { name: string; resources?: { requests?: object; limits?: object } };
type Terminated = { reason?: string; finishedAt?: string };
type Status = { name: string; restartCount?: number; lastState?: { terminated?: Terminated } };

const statusOf = ({ status }: KubeObject) =>
  proxyIn<Status>(status?.containerStatuses, status?.initContainerStatuses);

const partial: Check = {
  ...{ id: 'resource-annotations', severity: 'warning' },
  title: 'one annotation of resources switches off the other defaults of the mesh',
  find: ({ of }) =>
    of('Pod').flatMap(({ metadata: { namespace, name, annotations = {} } }) => {
      const set = keys.filter((key) => annotation(key) in annotations);
      const lacking = keys.filter((key) => !set.includes(key));
      if (set.length === 0 || lacking.length === 0) return [];
      return {
        subject: `Pod ${namespace}/${name}`,
        sentence: `it sets ${set.join(', ')}: its sidecar then has no ${lacking.join(', ')}, whatever global.proxy.resources says`,
        remedy: `set all four annotations in the pod template: ${keys.map(annotation).join(', ')}`,
      };
    }),
};

const killed: Check = {
  ...{ id: 'proxy-oom', severity: 'warning' },
  title: 'a sidecar was killed because its memory limit was reached',
  find: ({ of }) =>
    of('Pod').flatMap((pod) => {
      const { reason, finishedAt } = statusOf(pod)?.lastState?.terminated ?? {};
      if (reason !== 'OOMKilled') return [];
      const { namespace, name } = pod.metadata;
      return {
        subject: `Pod ${namespace}/${name}`,
        sentence: `its sidecar was killed for want of memory at ${finishedAt ?? 'an unknown time'}`,
        remedy: `narrow its workload (lazyscope status -n ${namespace}), or raise ${annotation('proxyMemoryLimit')}`,
      };
    }),
};

/** Fewer may be a rollout of istiod or a change of the node. */
const restartsMax = 5;

const restarting: Check = {
  ...{ id: 'proxy-restarts', severity: 'warning' },
  title: 'a sidecar keeps restarting',
  find: ({ of }) =>
    of('Pod').flatMap((pod) => {
      const { restartCount = 0, lastState } = statusOf(pod) ?? {};
      if (restartCount <= restartsMax) return [];
      const { namespace, name } = pod.metadata;
      const reason = lastState?.terminated?.reason;
      return {
        subject: `Pod ${namespace}/${name}`,
        sentence: `its sidecar has restarted ${restartCount} times${reason ? `, last by ${reason}` : ''}`,
        remedy: `kubectl logs -n ${namespace} ${name} -c istio-proxy --previous`,
      };
    }),
};

const noRequest: Check = {
  ...{ id: 'proxy-no-request', severity: 'info' },
  title: 'a sidecar requests no memory',
  find: ({ of }) =>
    of('Pod').flatMap(({ metadata: { namespace, name }, spec }) => {
      const proxy = proxyIn<Container>(spec?.containers, spec?.initContainers);
      const { requests, limits } = proxy?.resources ?? {};
      if (!proxy?.resources || 'memory' in { ...limits, ...requests }) return [];
      return {
        subject: `Pod ${namespace}/${name}`,
        sentence: 'its sidecar requests no memory, so the scheduler counts it as nothing',
        remedy: `set ${annotation('proxyMemory')} and the other three annotations in the pod template`,
      };
    }),
};

type Metric = { type: string; resource?: { name?: string; target?: { type?: string } } };

const scaledByPod: Check = {
  ...{ id: 'hpa-counts-proxy', severity: 'info' },
  title: 'a HorizontalPodAutoscaler measures pods with their sidecars',
  find({ of, mesh: { state } }) {
    return of('HorizontalPodAutoscaler').flatMap(({ metadata: { namespace = '', name }, spec }) => {
      const target: string = spec?.scaleTargetRef?.name ?? '';
      const byUse = ((spec?.metrics ?? []) as Metric[]).filter(
        ({ type, resource }) => type === 'Resource' && resource?.target?.type === 'Utilization',
      );
      const hasSidecar = state.catalog
        .podsIn(namespace)
        .some((pod) => pod.owner === target && pod.hasSidecar);
      if (byUse.length === 0 || !hasSidecar) return [];
      return {
        subject: `HorizontalPodAutoscaler ${namespace}/${name}`,
        sentence: `it compares the ${byUse.map(({ resource }) => resource?.name).join(' and ')} of ${target} with the requests of app and sidecar together: a lower request of the sidecar scales it out`,
        remedy: `measure the app alone: type ContainerResource, containerResource: {name: cpu, container: APP, target: {type: Utilization, averageUtilization: 80}}`,
      };
    });
  },
};

export const resourceChecks: readonly Check[] = [
  ...[partial, killed, restarting, noRequest, scaledByPod],
];
