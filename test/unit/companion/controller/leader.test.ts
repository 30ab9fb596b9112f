import { pino } from 'pino';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type Leader, startLeader } from '../../../../companion/kube/leader.ts';
import { createFakeKube, type FakeKube } from './fake-kube.ts';

const log = pino({ level: 'silent' });
const leaseSeconds = 15;
let kube: FakeKube;
let leaders: Leader[];

function campaign(identity: string, api = kube): Leader {
  const leader = startLeader({
    kube: api,
    log,
    namespace: 'lazyscope-system',
    name: 'lease',
    identity,
    leaseSeconds,
    onElected: () => undefined,
    onLost: () => undefined,
  });
  leaders.push(leader);
  return leader;
}

function holder(): string {
  return kube.all('Lease')[0]?.spec.holderIdentity;
}

/** Each candidate with a server of its own to fail, over one and the same store. */
function doorTo(shared: FakeKube): FakeKube {
  const door: FakeKube = Object.create(shared);
  door.failing = false;
  for (const verb of ['get', 'create', 'replace'] as const) {
    // biome-ignore lint/suspicious/noExplicitAny: forwards whatever the verb takes.
    door[verb] = (...args: any[]) =>
      door.failing
        ? Promise.reject(new Error('away'))
        : // biome-ignore lint/suspicious/noExplicitAny: as above.
          (shared[verb] as any)(...args);
  }
  return door;
}

/** The same numbers in every run: a linear congruence. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state / 2 ** 31;
  };
}

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance', 'Date'],
  });
  kube = createFakeKube();
  leaders = [];
});

afterEach(async () => {
  kube.failing = false;
  await Promise.all(leaders.map((leader) => leader.release().catch(() => undefined)));
  vi.useRealTimers();
});

async function pass(seconds: number): Promise<void> {
  for (let n = 0; n < seconds * 10; n++) {
    await vi.advanceTimersByTimeAsync(100);
  }
}

test('the first candidate leads, the second waits', async () => {
  const a = campaign('a');
  await pass(1);
  const b = campaign('b');
  await pass(60);
  expect(a.remainingMs()).toBeGreaterThan(0);
  expect(b.remainingMs()).toBe(0);
});

test('a leader that gives the lease back is followed at the next try', async () => {
  const a = campaign('a');
  await pass(1);
  const b = campaign('b');
  await pass(1);
  await Promise.all([a.release(), pass(1)]);
  expect(a.remainingMs()).toBe(0);
  await pass(5);
  expect(b.remainingMs()).toBeGreaterThan(0);
});

test('a leader that cannot renew stops before anybody else starts', async () => {
  const door = doorTo(kube);
  const a = campaign('a', door);
  await pass(1);
  const b = campaign('b');
  await pass(5);
  door.failing = true;
  let overlapped = false;
  let stoppedFirst = false;
  for (let n = 0; n < 400; n++) {
    await vi.advanceTimersByTimeAsync(100);
    overlapped ||= a.remainingMs() > 0 && b.remainingMs() > 0;
    stoppedFirst ||= a.remainingMs() === 0 && b.remainingMs() === 0;
  }
  expect(b.remainingMs()).toBeGreaterThan(0);
  expect({ overlapped, stoppedFirst }).toEqual({ overlapped: false, stoppedFirst: true });
  door.failing = false;
  await pass(30);
  expect(a.remainingMs()).toBe(0);
  expect(holder()).toBe('b');
});

test('a lease that was deleted is made again, and nobody leads while its holder may think it does', async () => {
  const [doorA, doorB] = [doorTo(kube), doorTo(kube)];
  const a = campaign('a', doorA);
  await pass(1);
  const b = campaign('b', doorB);
  await pass(5);
  // The holder cannot learn of it; the other one sees it at once.
  doorA.failing = true;
  await kube.delete({ group: '', version: 'v1', plural: 'leases' }, 'lease', 'lazyscope-system');
  let overlapped = false;
  for (let n = 0; n < 300; n++) {
    await vi.advanceTimersByTimeAsync(100);
    overlapped ||= a.remainingMs() > 0 && b.remainingMs() > 0;
  }
  expect(overlapped).toBe(false);
  expect(b.remainingMs()).toBeGreaterThan(0);
  doorA.failing = false;
  await pass(20);
  expect([a, b].filter((leader) => leader.remainingMs() > 0)).toHaveLength(1);
});

test('a leader whose clock is set ahead steps down until it has renewed, and one set back goes on', async () => {
  const a = campaign('a');
  await pass(1);
  vi.setSystemTime(Date.now() + 86_400_000);
  expect(a.remainingMs()).toBe(0);
  await pass(5);
  expect(a.remainingMs()).toBeGreaterThan(0);
  vi.setSystemTime(Date.now() - 86_400_000);
  expect(a.remainingMs()).toBeGreaterThan(0);
  await pass(20);
  expect(a.remainingMs()).toBeGreaterThan(0);
});

test('at no time do two of three lead, whatever fails', async () => {
  const random = randomOf(1);
  const doors = [doorTo(kube), doorTo(kube), doorTo(kube)];
  const candidates = doors.map((door, n) => campaign(`c${n}`, door));
  const led = new Set<number>();
  for (let n = 0; n < 4_000; n++) {
    const door = doors[n % 3];
    if (door && n % 70 === 0) door.failing = random() < 0.4;
    await vi.advanceTimersByTimeAsync(100);
    const leading = candidates.flatMap((leader, n) => (leader.remainingMs() > 0 ? [n] : []));
    expect(leading.length).toBeLessThan(2);
    for (const each of leading) led.add(each);
  }
  // Or nothing would have been shown.
  expect(led.size).toBeGreaterThan(1);
});
