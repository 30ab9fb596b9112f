/** The properties of a group that decide the order. */
export type Planned = {
  name: string;
  /** Recorded seconds of the group. A group without a record counts as a minute. */
  seconds: number;
  /** Groups that must end before this one starts, whatever their result. */
  after?: readonly string[] | undefined;
  /** Two groups with the same word never run at the same time. */
  apart?: string | undefined;
  /**
   * The group runs in a separate lane at the lowest priority, because it needs only spare CPU time.
   */
  background?: boolean | undefined;
};

type Running = { group: Planned; lane: number };

/** The lane of background groups. The other lanes count from 1. */
export const backgroundLane = 0;

/**
 * With a third lane, two cores were never idle, and each file of tests took two to four times as
 * long: three lanes together were slower than two.
 */
const lanesMost = 2;
/**
 * A mesh of the tests with its proxies took 4 GiB. One more GiB is for other processes of the lane.
 */
const bytesPerLane = 5 * 2 ** 30;
/** For the system and the background groups. */
const bytesReserved = 2 * 2 ** 30;

/**
 * The number of lanes that the memory of this machine can hold, each with a mesh of its own; at
 * least 1.
 */
export function laneCount(memoryBytes: number): number {
  const fitting = Math.floor((memoryBytes - bytesReserved) / bytesPerLane);
  return Math.min(lanesMost, Math.max(1, fitting));
}

/**
 * The group that a free lane takes next: a group that others wait for, or else the longest group,
 * so that no long group runs alone at the end. A lane without other work takes a background group.
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

/** Runs all groups in `lanes` lanes and the background lane. Returns when all groups have ended. */
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
      throw new Error(`${names}: each waits for another one; remove the circle in \`after\``);
    }
    await Promise.race([...running.values()].map(({ end }) => end));
  }
}

/** The total time of the groups, if each group takes its recorded time. */
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
