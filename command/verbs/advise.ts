import { Argument } from 'commander';
import { counted } from '../../companion/core/mesh/counted.ts';
import type { KubeObject } from '../../companion/kube/object.ts';
import { type Istiod, istiodAdvice } from '../advise/istiod.ts';
import { createUsage, type ResourcesAdvice, resourcesAdvice } from '../advise/resources.ts';
import { type Advice, adviceText } from '../core/advice.ts';
import { mebibytes } from '../core/quantity.ts';
import { CommandError, exitCodes } from '../frame/failure.ts';
import { readWholeMesh } from '../frame/mesh.ts';
import { prometheusOptions, readPrometheus } from '../frame/prometheus-options.ts';
import { namespaceOf, type Session, type Verb } from '../frame/verb.ts';
import { discoveryAdvice } from '../mesh/discovery-advice.ts';
import { metricsPort, readMetrics } from '../mesh/istiod.ts';
import type { Mesh } from '../mesh/read.ts';

const topics = ['discovery', 'istiod', 'resources'] as const;
type Topic = (typeof topics)[number];

export const adviseVerb: Verb = {
  usage: 'advise',
  about:
    'what to set, with figures: discovery scope, istiod, resources of sidecars; works without Lazyscope',
  example: [
    'lazyscope advise discovery',
    'lazyscope advise istiod -o json',
    'lazyscope advise resources -n shop --prometheus monitoring/prometheus:9090',
  ],
  arguments: [new Argument('[topic]', 'one topic; default: discovery and istiod').choices(topics)],
  options: prometheusOptions,
  async run(session, topic: Topic | undefined) {
    if (topic === 'resources' && session.options.prometheus === undefined) {
      const remedy =
        'give --prometheus ADDRESS with the metrics of cAdvisor (container_memory_working_set_bytes)';
      throw new CommandError(
        'advise resources: there is no source of usage',
        remedy,
        exitCodes.usage,
      );
    }
    const mesh = await readWholeMesh(session);
    const is = (each: Topic) => topic === each || (topic === undefined && each !== 'resources');
    const resources = topic === 'resources' ? await adviseResources(session, mesh) : undefined;
    const advice = [
      ...(is('discovery') ? discoveryAdvice(mesh) : []),
      ...(is('istiod') ? istiodAdvice(mesh, await readIstiods(session, mesh)) : []),
      ...(resources?.advice ?? []),
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
  const { list, fetchFrom } = await session.cluster();
  const namespace = mesh.config.rootNamespace;
  const named = { namespace, labelSelector: 'app=istiod' };
  const [deployments, pods] = await Promise.all([
    list({ group: 'apps', version: 'v1', plural: 'deployments', ...named }),
    list({ group: '', version: 'v1', plural: 'pods', ...named }),
  ]);
  const found: Istiod[] = [];
  for (const deployment of deployments) {
    const own = pods.filter((pod) => isOf(pod, deployment));
    for (const { metadata } of own) {
      const server = { kind: 'pods' as const, namespace, name: metadata.name, port: metricsPort };
      try {
        const metrics = readMetrics(await fetchFrom(server, '/metrics'));
        found.push({ deployment, pod: metadata.name, metrics });
      } catch (error) {
        found.push({ deployment, pod: metadata.name, metrics: new Map() });
        session.out.warn(
          `pod ${namespace}/${metadata.name}: its metrics are left out: ${(error as Error).message}\n`,
        );
      }
    }
    if (own.length === 0) found.push({ deployment, pod: '', metrics: new Map() });
  }
  return found;
}

/** The pods of a Deployment are those of its revision. */
function isOf({ metadata, status }: KubeObject, { metadata: of }: KubeObject): boolean {
  const revision = (labels?: Record<string, string>) => labels?.['istio.io/rev'] ?? 'default';
  return revision(metadata.labels) === revision(of.labels) && status?.phase === 'Running';
}

async function adviseResources(session: Session, mesh: Mesh): Promise<ResourcesAdvice> {
  const { list } = await session.cluster();
  const namespace = await namespaceOf(session);
  const where = namespace === undefined ? {} : { namespace };
  const { ask, rangeMs, matchers } = readPrometheus(session);
  const [pods, autoscalers] = await Promise.all([
    list({ group: '', version: 'v1', plural: 'pods', ...where }),
    list({ group: 'autoscaling', version: 'v2', plural: 'horizontalpodautoscalers', ...where }),
  ]);
  const usageOf = createUsage(ask, matchers);
  return resourcesAdvice({
    mesh,
    pods,
    autoscalers,
    usageOf,
    rangeMs,
    now: session.now(),
    namespace,
  });
}
