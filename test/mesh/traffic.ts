import { expect } from 'vitest';
import { type LoadResult, load, type RunningLoad, startLoad } from '../../box/load.ts';
import type { Mesh, PodRef } from '../../box/mesh.ts';

// Loads whose every request counts. How many a second there are is this machine's affair: a load
// asks for half of what was done a moment before, so that a slow machine sends fewer and none is
// left over.

const referenceSeconds = 2;

/**
 * Requests a second that a load may ask for here and now: those wanted, or what this machine
 * affords.
 */
export async function rateHere(
  mesh: Mesh,
  from: PodRef,
  urls: string[],
  { wanted, more = [] }: { wanted: number; more?: string[] },
): Promise<number> {
  const asked = { rps: 2 * wanted, seconds: referenceSeconds, more };
  const result = await load(mesh, from, urls, asked);
  // Behind its time on a slow machine, and still answered to the last.
  expectAllAnswered(result, { least: 1 });
  const affords = result.rps / 2;
  // The rate is never quite reached, as the last answer takes its time.
  const rate = affords > 0.9 * wanted ? wanted : Math.max(1, Math.floor(affords));
  if (rate < wanted) console.log(`${from.namespace}: ${rate} requests a second, not ${wanted}`);
  return rate;
}

/**
 * Every request was answered 200 (or what the load was told to take), none was left out, and there
 * were some.
 */
export function expectAllAnswered(result: LoadResult, { least }: { least: number }): void {
  const { sent, failed, unsent, failures } = result;
  expect({ failed, unsent, failures: failures.slice(0, 5) }).toEqual({
    ...{ failed: 0, unsent: 0, failures: [] },
  });
  expect(sent).toBeGreaterThanOrEqual(Math.max(1, Math.floor(least)));
}

/**
 * Requests of a load at this rate that there must have been since it was started: half, as stopping
 * takes time.
 */
export const leastSince = ({ startedAt }: RunningLoad, rps: number) =>
  (rps * (Date.now() - startedAt)) / 2000;

type Traffic = {
  /** In scope; called over and over. */
  known: string[];
  rps: number;
  /** Never called before; each is called once, in this order. */
  first: string[];
  firstRps: number;
};

/** Known calls and first calls at once, until they are stopped. */
export async function startTraffic(
  mesh: Mesh,
  from: PodRef,
  { known, rps, first, firstRps }: Traffic,
) {
  const firstFlags = ['--connections', '1', '--each-once'];
  const [knownLoad, firstLoad] = await Promise.all([
    startLoad(mesh, from, known, { rps, more: ['--connections', '8'] }),
    startLoad(mesh, from, first, { rps: firstRps, more: firstFlags }),
  ]);
  return {
    /**
     * Ends both; says what became of them, and the least number of requests each must have sent.
     */
    async stop() {
      const least = {
        known: leastSince(knownLoad, rps),
        first: Math.min(first.length, leastSince(firstLoad, firstRps)),
      };
      const results = await Promise.all([knownLoad.stop(), firstLoad.stop()]);
      return { known: results[0], first: results[1], least };
    },
  };
}
