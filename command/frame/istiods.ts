import { setTimeout as sleep } from 'node:timers/promises';
import { InvalidArgumentError, Option } from 'commander';
import { counted } from '../../companion/core/mesh/counted.ts';
import type { KubeObject } from '../../companion/kube/object.ts';
import { metricsPort } from '../mesh/istiod.ts';
import { between, type IstiodReading, sinceStart } from '../mesh/istiod-reading.ts';
import { CommandError } from './failure.ts';
import type { Session } from './verb.ts';

/** The metrics of each istiod, as the API server fetches them. */

/** One istiod by its pod. */
export type Measured = IstiodReading & { namespace: string; name: string };

export const windowOption = new Option(
  '--window <seconds>',
  'read istiod twice, so many seconds apart, and judge what it did in between; default: since it started',
).argParser(readWindow);

/** A day: longer, and what istiod did is a question for Prometheus. */
const windowMax = 86_400;

export function readWindow(text: string): number {
  const seconds = Number(text);
  if (/^\d+$/.test(text) && seconds >= 1 && seconds <= windowMax) return seconds;
  throw new InvalidArgumentError(`seconds from 1 to ${windowMax}.`);
}

/** Reads each pod, or twice by `--window`; one that does not answer is named and left out. */
export async function readIstiods(
  session: Session,
  pods: readonly KubeObject[],
): Promise<Measured[]> {
  const window = session.options.window as number | undefined;
  if (window === undefined || pods.length === 0) {
    const found = await textsOf(session, pods);
    return found.map(({ text, ...pod }) => ({ ...pod, ...young(session, pod, sinceStart(text)) }));
  }
  const earlier = await textsOf(session, pods);
  await sleep(window * 1_000);
  const still = pods.filter(({ metadata }) => earlier.some(({ name }) => name === metadata.name));
  const later = await textsOf(session, still);
  return later.map(({ text, ...pod }) => {
    const first = earlier.find(({ name }) => name === pod.name);
    return { ...pod, ...between(first?.text ?? '', text) };
  });
}

type Answer = { namespace: string; name: string; text: string };

async function textsOf(session: Session, pods: readonly KubeObject[]): Promise<Answer[]> {
  const { fetchFrom } = await session.cluster();
  const found = await Promise.all(
    pods.map(async ({ metadata: { namespace = '', name } }) => {
      try {
        const server = { kind: 'pods' as const, namespace, name, port: metricsPort };
        return { namespace, name, text: await fetchFrom(server, '/metrics') };
      } catch (error) {
        if (!(error instanceof CommandError)) throw error;
        session.out.warn(`${error.message}: left out\n`);
        return undefined;
      }
    }),
  );
  return found.filter((each) => each !== undefined);
}

function young(
  { out }: Session,
  { namespace, name }: { namespace: string; name: string },
  reading: IstiodReading,
): IstiodReading {
  const minutes = counted(Math.round(reading.seconds / 60), 'minute');
  if (reading.isStart)
    out.warn(
      `pod ${namespace}/${name} started ${minutes} ago: durations and rates of its start are not judged; --window 60 judges those of now\n`,
    );
  return reading;
}
