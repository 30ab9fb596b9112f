import { expect, test } from 'vitest';
import { createHistory } from '../../../companion/core/history/history.ts';
import { playBeside } from '../../../demo/played/beside.ts';
import { cast, narrowing, passing, playedNamespaces } from '../../../demo/played/cast.ts';
import { startPlay } from '../../../demo/played/play.ts';
import { generateServices } from '../../../embedded/services.ts';

const start = Date.parse('2026-01-01T00:00:00Z');
const full = { memoryBytes: 118e6, clusters: 2_059 };
const scoped = { memoryBytes: 10e6, clusters: 29, hosts: 4 };

function played(seconds: number) {
  const history = createHistory(start);
  const play = startPlay({ history, beginsAt: start, full, scoped });
  for (let at = start; at <= start + seconds * 1_000; at += 1_000) play.turn(at);
  const kinds = history.changes.since(0).map(({ kind, workload }) => `${workload} ${kind}`);
  return { history, play, kinds };
}

test('a scope narrows, and a host comes by a first call and expires', () => {
  const { play, kinds } = played(passing.roundSeconds + 5);
  expect(kinds).toEqual([
    `${narrowing.name} scoped`,
    `${passing.name} first-call`,
    `${passing.name} host-added`,
    `${passing.name} host-removed`,
  ]);
  const record = play.scopes.get(narrowing.namespace, narrowing.name);
  expect(record?.status?.clusters).toEqual({ before: 2_059, after: 28 });
});

test('calls have about the rate of the cast, whatever the interval of the turns', () => {
  const { history } = played(600);
  const range = { from: start, to: start + 600_000 };
  const calls = history.edges.within(0, range).reduce((sum, each) => sum + each.calls, 0);
  const perSecond = cast
    .flatMap((each) => each.calls.map((call) => call.perSecond))
    .reduce((a, b) => a + b, 0);
  // The tide is 40 % at most.
  expect(calls / 600).toBeGreaterThan(0.6 * perSecond);
  expect(calls / 600).toBeLessThan(1.45 * perSecond);
  const once = createHistory(start);
  startPlay({ history: once, beginsAt: start, full, scoped }).turn(start + 600_000);
  expect(once.edges.within(0, range)).toEqual(history.edges.within(0, range));
});

test('what is played is in namespaces of its own, which the generated mesh does not have', () => {
  expect([...new Set(cast.map(({ namespace }) => namespace))]).toEqual(playedNamespaces);
  const real = new Set(generateServices(5_000).map(({ namespace }) => namespace));
  expect(playedNamespaces.filter((namespace) => real.has(namespace))).toEqual([]);
});

test('before a real sidecar is narrowed nothing is played, and what is real stays', () => {
  const history = createHistory(start);
  const scopes = { get: () => undefined, values: () => [] };
  const known = playBeside(async () => undefined)({ scopes, history, now: () => start });
  expect([...known.scopes.values()]).toEqual([]);
  expect(known.played).toBeUndefined();
});
