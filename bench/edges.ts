import { clusterOf, type Population } from '../box/api/population.ts';

/** The exponent of Zipf's law by which services are chosen: few services have most callers. */
const exponent = 1;
const destinations = { least: 5, most: 50 };

/** Indices of the services that a workload calls: 5 to 50, by Zipf's law, each once. */
export function destinationsOf(workload: number, services: number): number[] {
  const random = randomOf(workload + 1);
  const { least, most } = destinations;
  const count = least + Math.floor(random() * (most - least + 1));
  const chosen = new Set<number>();
  while (chosen.size < Math.min(count, services)) chosen.add(zipf(random(), services));
  return [...chosen];
}

/** A service as an entry of a Sidecar, `namespace/host`. */
export function entryOf(service: number, population: Population): string {
  const host = clusterOf(service, population).split('|').at(-1) ?? '';
  return `${host.split('.')[1]}/${host}`;
}

/** Rank 0 to `count` - 1 for a uniform draw, by the continuous form of the law with exponent 1. */
function zipf(draw: number, count: number): number {
  return Math.min(count - 1, Math.floor((count + 1) ** (draw * exponent)) - 1);
}

/** Mulberry32: the same edges in each run, so that two results can be compared. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
