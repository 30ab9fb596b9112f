import { expect } from 'vitest';
import { call } from '../../box/app-call.ts';
import { sentTo, untilImported, urlOf } from '../../box/fleet.ts';
import type { Mesh, PodRef } from '../../box/mesh.ts';

// A question has 200 ms. Where the machine is busy one may have no answer in that time, and what
// then becomes of the call says nothing of the product. Only such a call may be made again: at a
// destination that was never called, where the counters of late answers have grown by as many, and
// counted for all to see.

/**
 * Counts the calls that were made again, in a line that the gate repeats at its end. Fails where
 * they are more than the answers that came late, or more than `most`.
 */
export function countSecondTries(what: string[], { late, most }: { late: number; most: number }) {
  if (what.length === 0) return;
  const { currentTestName = '' } = expect.getState();
  const tries = `${what.length} second tries, ${late} answers were late`;
  console.log(`gate: ${tries}: ${currentTestName}: ${what.join(', ')}`);
  expect(late, `a late answer for each second try: ${what}`).toBeGreaterThanOrEqual(what.length);
  expect(what.length, `few second tries: ${what}`).toBeLessThanOrEqual(most);
}

type Companion = { status: { podIP: string; containerStatuses: { containerID: string }[] } };

/** Questions that got no new answer, by the companion's own words; a hold asks too. */
const lateSamples =
  /^lazyscope_node_(questions_total\{source="(none|stale)"|holds_total\{outcome="(late|unanswered)").* (\d+)$/gm;

/**
 * Late answers so far: of each companion by its container, and of questions that these callers'
 * Envoys gave up.
 */
async function lateSoFar(mesh: Mesh, callers: PodRef[]): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  const label = 'app.kubernetes.io/name=lazyscope-node';
  const { items } = await mesh.get(['pods', '-n', 'lazyscope-system', '-l', label]);
  for (const { spec, status } of items as (Companion & { spec: { nodeName: string } })[]) {
    const metrics = ['curl', '-sS', '--max-time', '5', `http://${status.podIP}:9472/metrics`];
    const text = await mesh.onNode(spec.nodeName, metrics).catch(() => '');
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

/** From now on: how many answers have come late for these callers' questions. */
export async function watchLateAnswers(mesh: Mesh, callers: PodRef[]) {
  const before = await lateSoFar(mesh, callers);
  return async (): Promise<number> => {
    const now = await lateSoFar(mesh, callers);
    // A companion that is new has counted from nothing; what one that has gone counted is lost.
    return [...now].reduce((sum, [key, count]) => sum + count - (before.get(key) ?? 0), 0);
  };
}

/**
 * Learns one more target of a fleet. Where nothing stands in for an answer, one that comes late
 * fails the call: then another target has one second try.
 */
export async function learnAnother(
  mesh: Mesh,
  caller: PodRef,
  workload: string,
  take: () => number,
) {
  const lateAnswers = await watchLateAnswers(mesh, [caller]);
  const first = take();
  const { status } = await call(mesh, caller, urlOf(first));
  if (status === 200) return untilImported(mesh, caller.namespace, workload, [first]);
  countSecondTries([`${urlOf(first)} (${status})`], { late: await lateAnswers(), most: 1 });
  const second = take();
  expect((await call(mesh, caller, urlOf(second))).status).toBe(200);
  return untilImported(mesh, caller.namespace, workload, [second]);
}
