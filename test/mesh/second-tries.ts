import { expect } from 'vitest';
import { call } from '../../box/app-call.ts';
import { sentTo, untilImported, urlIn } from '../../box/fleet.ts';
import type { Mesh, PodRef } from '../../box/mesh.ts';
import { type CompanionPod, metricsOf } from './companion-metrics.ts';

// A question must be answered within 200 ms. On a busy machine an answer may come later, and the
// result of that call then says nothing about the product. A test may repeat only such a call, at a
// destination that was never called, and only as often as the counters of late answers have grown.
// The gate prints every repeated call.

/**
 * Prints the number of repeated calls in a line that the gate repeats at its end. Fails if there
 * were more repeated calls than late answers, or more than `most`.
 */
export function countSecondTries(what: string[], { late, most }: { late: number; most: number }) {
  if (what.length === 0) return;
  const { currentTestName = '' } = expect.getState();
  const tries = `${what.length} second tries, ${late} answers were late`;
  console.log(`gate: ${tries}: ${currentTestName}: ${what.join(', ')}`);
  expect(late, `a late answer for each second try: ${what}`).toBeGreaterThanOrEqual(what.length);
  expect(what.length, `few second tries: ${what}`).toBeLessThanOrEqual(most);
}

type Companion = CompanionPod & { status: { containerStatuses: { containerID: string }[] } };

/** Questions without a new answer, as the companion's metrics count them. A hold also asks. */
const lateSamples =
  /^lazyscope_node_(questions_total\{source="(none|stale)"|holds_total\{outcome="(late|unanswered)").* (\d+)$/gm;

/**
 * The number of late answers so far: those that each companion counted, by container, and the
 * questions that the Envoys of these callers gave up.
 */
async function lateSoFar(mesh: Mesh, callers: PodRef[]): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  const label = 'app.kubernetes.io/name=lazyscope-node';
  const { items } = await mesh.get(['pods', '-n', 'lazyscope-system', '-l', label]);
  for (const { spec, status } of items as Companion[]) {
    const text = await metricsOf(mesh, { spec, status }, ['--max-time', '5']).catch(() => '');
    const late = [...text.matchAll(lateSamples)].map((match) => Number(match.at(-1)));
    const id = status.containerStatuses?.[0]?.containerID ?? '';
    found.set(
      id,
      late.reduce((sum, each) => sum + each, 0),
    );
  }
  for (const caller of callers) {
    const { timeouts } = await sentTo(mesh, caller, 'lazyscope-node');
    found.set(`${caller.namespace}/${caller.name}`, timeouts);
  }
  return found;
}

/** Returns a function that counts the late answers to these callers' questions since this call. */
export async function watchLateAnswers(mesh: Mesh, callers: PodRef[]) {
  const before = await lateSoFar(mesh, callers);
  return async (): Promise<number> => {
    const now = await lateSoFar(mesh, callers);
    // The counters of a new companion start at zero. The counts of a removed companion are lost.
    return [...now].reduce((sum, [key, count]) => sum + count - (before.get(key) ?? 0), 0);
  };
}

/**
 * Learns one more target of a fleet. If no fallback replaces a late answer, the call fails, and
 * another target gets one second try.
 */
export async function learnAnother(
  mesh: Mesh,
  caller: PodRef,
  workload: string,
  take: () => number,
  of = caller.namespace,
) {
  const lateAnswers = await watchLateAnswers(mesh, [caller]);
  const first = take();
  const { status } = await call(mesh, caller, urlIn(of, first));
  if (status === 200) return untilImported(mesh, caller.namespace, workload, [first], of);
  countSecondTries([`${urlIn(of, first)} (${status})`], { late: await lateAnswers(), most: 1 });
  const second = take();
  expect((await call(mesh, caller, urlIn(of, second))).status).toBe(200);
  return untilImported(mesh, caller.namespace, workload, [second], of);
}
