import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { randomOf } from './random.ts';
import { createWorld, hostsIn } from './world.ts';

/**
 * Numbers of seeds and the first seed. By hand: SIMULATION_SEEDS=1000 runs a thousand lives from
 * SIMULATION_FROM on.
 */
const count = Number(process.env.SIMULATION_SEEDS ?? 4);
const from = Number(process.env.SIMULATION_FROM ?? 1);
const seeds = Array.from({ length: count }, (_, n) => from + n);

vi.setConfig({ testTimeout: 240_000 });

beforeEach(() => {
  vi.useFakeTimers({
    now: Date.parse('2026-01-01T00:00:00Z'),
    toFake: [
      ...(['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] as const),
      ...(['setImmediate', 'clearImmediate', 'performance', 'Date'] as const),
    ],
  });
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

test.each(seeds)(
  'with seed %i an hour of faults breaks no promise, and the system recovers',
  async (seed) => {
    const random = randomOf(seed);
    // The product's random numbers come from the seed too, so that a seed repeats the same life.
    vi.spyOn(Math, 'random').mockImplementation(random.next);
    const world = await createWorld(random);
    const { truth } = world;
    await world.start();
    await world.run(3_600, { faults: true });
    expect(truth.violations).toEqual([]);

    await world.bootDead();
    await world.run(600, { faults: false });
    expect(truth.violations).toEqual([]);
    world.foreignUntouched();
    // Otherwise the test would have shown nothing.
    expect(truth.writers.size).toBeGreaterThan(0);
    expect(truth.sidecarWrites.length).toBeGreaterThan(20);
    expect(truth.sidecarWrites.some(({ removed }) => removed > 0)).toBe(true);
    const sidecars = world.sidecars();
    expect(sidecars.map(({ metadata }) => metadata.name).sort()).toEqual([
      'lazyscope-cart',
      'lazyscope-shipping',
      'lazyscope-web',
    ]);
    for (const sidecar of sidecars) {
      const used = truth.inUse(sidecar.metadata.name.replace('lazyscope-', ''));
      expect(hostsIn(sidecar)).toEqual(expect.arrayContaining(used));
    }

    // Another leader with the same knowledge writes nothing, except for hosts that expire.
    world.rest();
    await world.run(60, { faults: false });
    const written = truth.sidecarWrites.length;
    const leader = world.leader();
    leader?.kill();
    await world.run(120, { faults: false });
    expect(world.leader()?.identity).not.toBe(leader?.identity);
    const after = truth.sidecarWrites.slice(written);
    expect(after.filter(({ added, removed }) => added > 0 || removed === 0)).toEqual([]);
    world.stop();
  },
);

type World = Awaited<ReturnType<typeof createWorld>>;

/** Each lasts for longer than the silence after which a scope may be withdrawn. */
const breaks: [string, (world: World) => Promise<void>][] = [
  ['a node is lost for good', (world) => world.loseNode(1)],
  ['the companion of a node crashes again and again', (world) => world.crashLoop(1, 900)],
  ['the controllers hear no node', (world) => world.deafen(900)],
];

test.each(breaks)(
  'if %s, no scope is withdrawn, and no host in use is lost',
  async (_what, happen) => {
    const random = randomOf(1);
    vi.spyOn(Math, 'random').mockImplementation(random.next);
    const world = await createWorld(random);
    const { truth } = world;
    await world.start();
    await world.run(300, { faults: false });
    expect(world.sidecars()).toHaveLength(3);
    await happen(world);
    await world.run(600, { faults: false });
    expect(truth.withdrawn).toEqual([]);
    expect(truth.violations).toEqual([]);
    expect(world.sidecars()).toHaveLength(3);
    world.stop();
  },
);
