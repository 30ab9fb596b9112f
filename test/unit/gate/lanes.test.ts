import { expect, test } from 'vitest';
import { estimate, laneCount, nextFor, type Planned, runLanes } from '../../gate/lanes.ts';

const group = (name: string, seconds: number, more: Partial<Planned> = {}): Planned => ({
  name,
  seconds,
  ...more,
});

/** Runs the groups instantly, and reports which ones ran at the same time. */
async function record(groups: Planned[], lanes = 2) {
  const log: string[] = [];
  await runLanes(groups, lanes, async ({ name }, lane) => {
    log.push(`+${name}@${lane}`);
    await new Promise((resolve) => setImmediate(resolve));
    log.push(`-${name}`);
  });
  return log;
}

test('a free lane takes a group that others wait for, then the longest', async () => {
  const groups = [group('a', 1), group('b', 9, { after: ['a'] }), group('c', 5), group('d', 7)];
  expect(await record(groups)).toEqual([
    ...['+a@1', '+d@2', '-a', '+b@1'],
    ...['-d', '+c@2', '-b', '-c'],
  ]);
});

test('groups that are kept apart never run at the same time, and a lane skips them', async () => {
  const groups = [group('a', 3, { apart: 'x' }), group('b', 2, { apart: 'x' }), group('c', 1)];
  const log = await record(groups);
  expect(log.slice(0, 2)).toEqual(['+a@1', '+c@2']);
  expect(log.indexOf('+b@1')).toBeGreaterThan(log.indexOf('-a'));
});

test('background groups have a lane of their own, and a lane without work takes them too', async () => {
  const slow = [group('slow', 9, { background: true }), group('slower', 99, { background: true })];
  const groups = [...slow, group('a', 1), group('b', 1)];
  expect((await record(groups)).slice(0, 3)).toEqual(['+slower@0', '+a@1', '+b@2']);
  expect(nextFor(1, slow, [])?.name).toBe('slower');
  expect(nextFor(1, [...slow, group('a', 1)], [])?.name).toBe('a');
});

test('a group that depends on a group that does not run waits for nothing', async () => {
  expect(await record([group('a', 1, { after: ['gone'] })])).toEqual(['+a@1', '-a']);
});

test('a circle is reported with its groups', async () => {
  const groups = [group('a', 1, { after: ['b'] }), group('b', 1, { after: ['a'] })];
  await expect(record(groups)).rejects.toThrow('a, b: each waits for another one');
});

test('the estimate is the time of the longest lane', () => {
  const groups = [group('a', 10), group('b', 7), group('c', 5), group('d', 2, { after: ['a'] })];
  expect(estimate(groups, 2)).toBe(12);
  expect(estimate(groups, 1)).toBe(24);
  expect(estimate([], 2)).toBe(0);
});

test('there are as many lanes as meshes fit into the memory, from one to two', () => {
  const gib = 2 ** 30;
  expect([1, 7, 12, 16, 17, 24, 256].map((size) => laneCount(size * gib))).toEqual([
    ...[1, 1, 2, 2, 2, 2, 2],
  ]);
});
