/** What the order of groups depends on. */
export type Planned = {
  name: string;
  /** What it took when it was recorded; groups that were never recorded count as a minute. */
  seconds: number;
  /** Groups that have to end first, whatever they end with. */
  after?: readonly string[] | undefined;
  /** Groups with the same word never run beside each other. */
  apart?: string | undefined;
  /**
   * Needs only the time that the others leave: runs in a lane of its own, at the lowest priority.
   */
  background?: boolean | undefined;
};

type Running = { group: Planned; lane: number };

/** The lane of the groups that run in the background; the others count from 1. */
export const backgroundLane = 0;

/** The groups of a mesh wait more than they compute: a fourth lane on two cores gains nothing. */
const lanesMost = 3;
/** A mesh of the tests with its proxies took 4 GiB; one more is for what runs beside it. */
const bytesPerLane = 5 * 2 ** 30;
/** For the system and the groups in the background. */
const bytesReserved = 2 * 2 ** 30;

/** How many lanes, each with a mesh of its own, fit into the memory of this machine; at least 1. */
export function laneCount(memoryBytes: number): number {
  const fitting = Math.floor((memoryBytes - bytesReserved) / bytesPerLane);
  return Math.min(lanesMost, Math.max(1, fitting));
}

/**
 * The group that a free lane takes next: one that others wait for, else the longest, so that no
 * long one is left for the end, where it would run alone. A lane that has nothing else to do helps
 * with what is for the background.
 */
export function nextFor<Group extends Planned>(
  lane: number,
  waiting: readonly Group[],
  running: readonly Planned[],
): Group | undefined {
  const unfinished = new Set([...waiting, ...running].map(({ name }) => name));
  const awaited = new Set(waiting.flatMap(({ after = [] }) => after));
  const isAwaited = ({ name }: Planned) => Number(awaited.has(name));
  const startable = waiting
    .filter(({ after = [] }) => !after.some((name) => unfinished.has(name)))
    .filter(({ apart }) => apart === undefined || !running.some((one) => one.apart === apart))
    .sort((a, b) => isAwaited(b) - isAwaited(a) || b.seconds - a.seconds);
  const forBackground = startable.find(({ background }) => background);
  if (lane === backgroundLane) return forBackground;
  return startable.find(({ background }) => !background) ?? forBackground;
}

/**
 * Runs all groups, in as many lanes beside the one in the background; returns when all have ended.
 */
export async function runLanes<Group extends Planned>(
  groups: readonly Group[],
  lanes: number,
  run: (group: Group, lane: number) => Promise<void>,
): Promise<void> {
  const waiting = [...groups];
  const running = new Map<number, { group: Group; end: Promise<void> }>();
  while (waiting.length > 0 || running.size > 0) {
    for (let lane = backgroundLane; lane <= lanes; lane++) {
      if (running.has(lane)) continue;
      const group = nextFor(
        lane,
        waiting,
        [...running.values()].map((one) => one.group),
      );
      if (group === undefined) continue;
      waiting.splice(waiting.indexOf(group), 1);
      const end = run(group, lane).finally(() => running.delete(lane));
      running.set(lane, { group, end });
    }
    if (running.size === 0) {
      const names = waiting.map(({ name }) => name).join(', ');
      throw new Error(`${names}: each waits for another one; look for a circle in \`after\``);
    }
    await Promise.race([...running.values()].map(({ end }) => end));
  }
}

/** How long the groups take together, if each takes what it took when it was recorded. */
export function estimate(groups: readonly Planned[], lanes: number): number {
  const waiting = [...groups];
  let running: (Running & { until: number })[] = [];
  let now = 0;
  while (waiting.length > 0 || running.length > 0) {
    for (let lane = backgroundLane; lane <= lanes; lane++) {
      if (running.some((one) => one.lane === lane)) continue;
      const group = nextFor(
        lane,
        waiting,
        running.map((one) => one.group),
      );
      if (group === undefined) continue;
      waiting.splice(waiting.indexOf(group), 1);
      running.push({ group, lane, until: now + group.seconds });
    }
    if (running.length === 0) return now;
    now = Math.min(...running.map(({ until }) => until));
    running = running.filter(({ until }) => until > now);
  }
  return now;
}
