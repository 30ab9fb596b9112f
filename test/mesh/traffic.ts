import { expect } from 'vitest';
import { type LoadResult, load, type RunningLoad, startLoad } from '../../box/load.ts';
import type { Mesh, PodRef } from '../../box/mesh.ts';

// Loads that account for every request. The rate depends on the machine: a load asks for half of
// the rate that the machine reached a moment before, so that a slow machine sends fewer requests
// and leaves none unsent.

const referenceSeconds = 2;

/**
 * The rate of a load in requests a second: the wanted rate, or less if this machine cannot reach
 * it.
 */
export async function rateHere(
  mesh: Mesh,
  from: PodRef,
  urls: string[],
  { wanted, more = [] }: { wanted: number; more?: string[] },
): Promise<number> {
  const asked = { rps: 2 * wanted, seconds: referenceSeconds, more };
  const result = await load(mesh, from, urls, asked);
  // A slow machine sends late, but still receives every answer.
  expectAllAnswered(result, { least: 1 });
  const affords = result.rps / 2;
  // The measured rate is always a little low, because the last answer takes time.
  const rate = affords > 0.9 * wanted ? wanted : Math.max(1, Math.floor(affords));
  if (rate < wanted) console.log(`${from.namespace}: ${rate} requests a second, not ${wanted}`);
  return rate;
}

/**
 * Expects that the server answered every request with status 200 (or the statuses that the load
 * accepts), and that the load sent all of its requests, at least `least`.
 */
export function expectAllAnswered(result: LoadResult, { least }: { least: number }): void {
  const { sent, failed, unsent, failures } = result;
  expect({ failed, unsent, failures: failures.slice(0, 5) }).toEqual({
    ...{ failed: 0, unsent: 0, failures: [] },
  });
  expect(sent).toBeGreaterThanOrEqual(Math.max(1, Math.floor(least)));
}

/**
 * The least number of requests that a load at this rate has sent since its start: half of the full
 * number, because stopping takes time.
 */
export const leastSince = ({ startedAt }: RunningLoad, rps: number) =>
  (rps * (Date.now() - startedAt)) / 2000;

type Traffic = {
  /** URLs in scope, which the load calls again and again. */
  known: string[];
  rps: number;
  /** URLs that nobody has called before. The load calls each of them once, in this order. */
  first: string[];
  firstRps: number;
};

/** Makes known calls and first calls at the same time until `stop`. */
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
     * Ends both loads. Returns their results, and the least number of requests that each must have
     * sent.
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
