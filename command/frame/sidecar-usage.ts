import { setTimeout as sleep } from 'node:timers/promises';
import { KubeError, type KubeObject } from '../../companion/kube/object.ts';
import {
  kubeletReading,
  type Moment,
  metricsApiReading,
  type Reading,
  type Usage,
  usageOver,
} from '../advise/usage.ts';
import { CommandError } from './failure.ts';
import type { Session } from './verb.ts';

/** What sidecars use now, where no Prometheus knows what they used. */

/** Kubelets and metrics-server measure every 10 to 15 seconds. */
const everySeconds = 15;
/** Each kubelet answers some hundred lines; more requests at once would only queue. */
const atOnce = 8;

/**
 * Reads the sidecars of `pods` for so many seconds: from the metrics API, or where none is served
 * from the kubelets, through the API server. Throws if neither can be read.
 */
export async function readUsage(
  session: Session,
  pods: readonly KubeObject[],
  seconds: number,
): Promise<Map<string, Usage>> {
  const read = await sourceFor(session, pods);
  session.out.warn(`reading what sidecars use for ${seconds} s; --window gives another time\n`);
  const readings = [await read()];
  for (let left = seconds; left > 0; left -= everySeconds) {
    await sleep(Math.min(left, everySeconds) * 1_000);
    readings.push(await read());
  }
  return usageOver(readings);
}

async function sourceFor(
  session: Session,
  pods: readonly KubeObject[],
): Promise<() => Promise<Reading>> {
  const { list } = await session.cluster();
  const [namespace, ...others] = new Set(pods.map(({ metadata }) => metadata.namespace));
  const where = namespace === undefined || others.length > 0 ? {} : { namespace };
  const kind = { group: 'metrics.k8s.io', version: 'v1beta1', plural: 'pods', ...where };
  const fromApi = async () => metricsApiReading(await list(kind));
  try {
    if ((await fromApi()).size > 0) return fromApi;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    if (!isMissing(error)) session.out.warn(`${error.message}: reading kubelets instead\n`);
  }
  const nodes = new Set(pods.flatMap(({ spec }): string[] => spec?.nodeName ?? []));
  return () => kubeletsReading(session, [...nodes]);
}

/** No metrics API is announced. */
function isMissing({ cause }: CommandError): boolean {
  return cause instanceof KubeError && cause.status === 404;
}

/** A kubelet that does not answer is named and left out; throws if none answers. */
export async function kubeletsReading(
  session: Session,
  nodes: readonly string[],
): Promise<Reading> {
  const { fetchFrom } = await session.cluster();
  const found = new Map<string, Moment>();
  const failures: CommandError[] = [];
  const rest = nodes.values();
  const worker = async () => {
    for (const name of rest)
      try {
        const text = await fetchFrom({ kind: 'nodes', name }, '/metrics/resource');
        for (const [pod, moment] of kubeletReading(text, session.now())) found.set(pod, moment);
      } catch (error) {
        if (!(error instanceof CommandError)) throw error;
        failures.push(error);
      }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  const [first] = failures;
  if (first && failures.length === nodes.length)
    throw new CommandError(
      `there is no source of usage: no metrics API is served, and no kubelet can be read: ${first.message}`,
      `give --prometheus ADDRESS with the metrics of cAdvisor (container_memory_working_set_bytes), install metrics-server, or: ${first.remedy}`,
    );
  for (const { message } of failures) session.out.warn(`${message}: left out\n`);
  return found;
}
