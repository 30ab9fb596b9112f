import { Argument, Option } from 'commander';
import { counted } from '../../companion/core/mesh/counted.ts';
import type { KubeObject } from '../../companion/kube/object.ts';
import { type Istiod, istiodAdvice } from '../advise/istiod.ts';
import { type ResourcesAdvice, resourcesAdvice } from '../advise/resources.ts';
import { readRates, tlsAdvice } from '../advise/tls.ts';
import { createUsage } from '../advise/usage.ts';
import { type Advice, adviceText } from '../core/advice.ts';
import { proxyIn } from '../core/proxy-container.ts';
import { mebibytes } from '../core/quantity.ts';
import { readIstiods as measureIstiods, readWindow } from '../frame/istiods.ts';
import { readWholeMesh } from '../frame/mesh.ts';
import { prometheusOptions, readPrometheus } from '../frame/prometheus-options.ts';
import { readUsage } from '../frame/sidecar-usage.ts';
import { namespaceOf, requireNamespace, type Session, type Verb } from '../frame/verb.ts';
import { discoveryAdvice } from '../mesh/discovery-advice.ts';
import type { Mesh } from '../mesh/read.ts';

const topics = ['discovery', 'istiod', 'resources', 'tls'] as const;
type Topic = (typeof topics)[number];

/** Two to five readings of a metrics API or kubelets; a longer time is for a Prometheus. */
const usageSeconds = 60;

const windowOption = new Option(
  '--window <seconds>',
  `read istiod twice, so many seconds apart (default: since it started), or without --prometheus the sidecars for so long (default: ${usageSeconds})`,
).argParser(readWindow);

export const adviseVerb: Verb = {
  usage: 'advise',
  about:
    'what to set, with figures: discovery scope, istiod, resources of sidecars, TLS; works without Lazyscope',
  example: [
    'lazyscope advise discovery',
    'lazyscope advise istiod -o json',
    'lazyscope advise resources -n shop',
    'lazyscope advise resources -n shop --prometheus monitoring/prometheus:9090',
    'lazyscope advise tls --prometheus monitoring/prometheus:9090',
  ],
  arguments: [new Argument('[topic]', 'one topic; default: discovery and istiod').choices(topics)],
  options: [...prometheusOptions, windowOption],
  async run(session, topic: Topic | undefined) {
    const mesh = await readWholeMesh(session);
    const is = (each: 'discovery' | 'istiod') => topic === undefined || topic === each;
    const resources = topic === 'resources' ? await adviseResources(session, mesh) : undefined;
    const advice = [
      ...(is('discovery') ? discoveryAdvice(mesh) : []),
      ...(is('istiod') ? istiodAdvice(mesh, await readIstiods(session, mesh)) : []),
      ...(resources?.advice ?? []),
      ...(topic === 'tls' ? await adviseTls(session, mesh) : []),
    ];
    session.show({
      data: { advice, ...(resources && { total: resources.total }) },
      text: ({ paint }) => `${adviceText(advice, paint)}${summaryOf(advice, resources)}`,
    });
    return undefined;
  },
};

function summaryOf(advice: readonly Advice[], resources: ResourcesAdvice | undefined): string {
  if (!resources)
    return `${advice.length === 0 ? '' : '\n'}${counted(advice.length, 'piece')} of advice.\n`;
  const { pods, memoryBefore, memoryAfter, cpuBefore, cpuAfter } = resources.total;
  const cores = (value: number) => `${Math.round(value * 1000)}m`;
  return `\n${counted(pods, 'proxy')} request ${mebibytes(memoryBefore)} and ${cores(cpuBefore)} of CPU, and would request ${mebibytes(memoryAfter)} and ${cores(cpuAfter)}.\n`;
}

/** The Deployments of istiod with the metrics of each of their pods. */
async function readIstiods(session: Session, mesh: Mesh): Promise<Istiod[]> {
  const { list } = await session.cluster();
  const namespace = mesh.config.rootNamespace;
  const named = { namespace, labelSelector: 'app=istiod' };
  const [deployments, pods] = await Promise.all([
    list({ group: 'apps', version: 'v1', plural: 'deployments', ...named }),
    list({ group: '', version: 'v1', plural: 'pods', ...named }),
  ]);
  const window = session.options.window as number | undefined;
  const own = pods.filter((pod) => deployments.some((deployment) => isOf(pod, deployment)));
  const measured = new Map(
    (await measureIstiods(session, own)).map((each) => [each.name, each] as const),
  );
  return deployments.flatMap((deployment): Istiod[] => {
    const names = own.filter((pod) => isOf(pod, deployment)).map(({ metadata }) => metadata.name);
    // Its settings say something also where its metrics are not known.
    return (names.length === 0 ? [''] : names).map((pod) => {
      const { metrics, seconds, isStart } = measured.get(pod) ?? nothing;
      return { deployment, pod, window, metrics, seconds, isStart };
    });
  });
}

const nothing = { metrics: new Map(), seconds: 0, isStart: true };

/** The pods of a Deployment are those of its revision. */
function isOf({ metadata, status }: KubeObject, { metadata: of }: KubeObject): boolean {
  const revision = (labels?: Record<string, string>) => labels?.['istio.io/rev'] ?? 'default';
  return revision(metadata.labels) === revision(of.labels) && status?.phase === 'Running';
}

/** Without a Prometheus it says that rates are not known, and what would make them known. */
async function adviseTls(session: Session, mesh: Mesh): Promise<Advice[]> {
  const { list } = await session.cluster();
  const namespace = await namespaceOf(session);
  const prometheus = session.options.prometheus === undefined ? undefined : readPrometheus(session);
  const core = { group: '', version: 'v1' };
  const policies = { group: 'admissionregistration.k8s.io', version: 'v1' };
  const unread = (what: string) => (error: Error) => {
    session.out.warn(`${what}: ${error.message}: left out\n`);
    return [];
  };
  const [pods, nodes, served] = await Promise.all([
    list({ ...core, plural: 'pods', ...(namespace !== undefined && { namespace }) }),
    list({ ...core, plural: 'nodes' }).catch(unread('nodes')),
    // A cluster before Kubernetes 1.36 has no such kind, and a user may lack the right.
    list({ ...policies, plural: 'mutatingadmissionpolicies' }).catch(() => []),
  ]);
  const rates = prometheus && (await readRates(prometheus.ask, prometheus));
  const hasPolicy = served.some(({ metadata }) => metadata.name === 'lazyscope-tls-offload');
  return tlsAdvice({ mesh, pods, nodes, namespace, rates, hasPolicy });
}

async function adviseResources(session: Session, mesh: Mesh): Promise<ResourcesAdvice> {
  const { list } = await session.cluster();
  const namespace = await namespaceOf(session);
  const where = namespace === undefined ? {} : { namespace };
  const [pods, autoscalers] = await Promise.all([
    list({ group: '', version: 'v1', plural: 'pods', ...where }),
    list({ group: 'autoscaling', version: 'v2', plural: 'horizontalpodautoscalers', ...where }),
  ]);
  const usage = await usageFor(session, pods);
  return resourcesAdvice({ mesh, pods, autoscalers, ...usage, now: session.now(), namespace });
}

/** What a Prometheus knows, or else what can be read now. */
async function usageFor(session: Session, pods: readonly KubeObject[]) {
  if (session.options.prometheus !== undefined) {
    const { ask, rangeMs, matchers } = readPrometheus(session);
    return { usageOf: createUsage(ask, matchers), rangeMs };
  }
  const seconds = (session.options.window as number | undefined) ?? usageSeconds;
  const proxied = pods.filter(
    ({ spec, status }) =>
      status?.phase === 'Running' && proxyIn(spec?.containers, spec?.initContainers),
  );
  if (proxied.length === 0) {
    await requireNamespace(session, await namespaceOf(session));
    session.out.warn('no running pod here has a sidecar\n');
    return { usageOf: async () => new Map(), rangeMs: seconds * 1_000 };
  }
  const found = await readUsage(session, proxied, seconds);
  return { usageOf: async () => found, rangeMs: seconds * 1_000 };
}
