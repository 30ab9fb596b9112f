import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Leader, startLeader } from '../../../../companion/kube/leader.ts';
import { createFakeKube, type FakeKube } from './fake-kube.ts';

const log = pino({ level: 'silent' });
let kube: FakeKube;
let leaders: Leader[];

function campaign(identity: string, api: FakeKube = kube, leaseSeconds = 15): Leader {
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

/**
 * A fault of a request: no connection, a request that never ends, or an answer that is lost after
 * the server has executed the request.
 */
type Fault = 'away' | 'hangs' | 'lost' | 'lost and hangs';

type Door = FakeKube & { faultOf(verb: 'get' | 'create' | 'replace'): Fault | undefined };

/** A separate connection to the shared store for each candidate. */
function doorTo(shared: FakeKube): Door {
  const door: Door = Object.create(shared);
  door.failing = false;
  door.faultOf = () => (door.failing ? 'away' : undefined);
  const never = new Promise<never>(() => undefined);
  for (const verb of ['get', 'create', 'replace'] as const) {
    // biome-ignore lint/suspicious/noExplicitAny: forwards whatever the verb takes.
    door[verb] = async (...args: any[]) => {
      const fault = door.faultOf(verb);
      if (fault === 'away') throw new Error('away');
      if (fault === 'hangs') return never;
      // biome-ignore lint/suspicious/noExplicitAny: as above.
      const answer = await (shared[verb] as any)(...args);
      if (fault === 'lost') throw new Error('answer lost');
      return fault === 'lost and hangs' ? never : answer;
    };
  }
  return door;
}

/** Gives each of the next requests of this verb one of the faults. */
function befall(door: Door, verb: 'get' | 'create' | 'replace', faults: Fault[]): void {
  door.faultOf = (asked) => (asked === verb ? faults.shift() : undefined);
}

/** A linear congruential generator: the same numbers in every run. */
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
  const released = leaders.map((leader) => leader.release().catch(() => undefined));
  // Requests that hang end by their timeouts.
  await Promise.all([...released, pass(20)]);
  vi.useRealTimers();
  vi.restoreAllMocks();
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

test('a leader that releases the lease has a successor at the next attempt', async () => {
  const a = campaign('a');
  await pass(1);
  const b = campaign('b');
  await pass(1);
  await Promise.all([a.release(), pass(1)]);
  expect(a.remainingMs()).toBe(0);
  await pass(5);
  expect(b.remainingMs()).toBeGreaterThan(0);
});

test('a leader that cannot renew stops before another candidate leads', async () => {
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

test('a deleted lease is created again, and nobody leads while its former holder may believe that it leads', async () => {
  const [doorA, doorB] = [doorTo(kube), doorTo(kube)];
  const a = campaign('a', doorA);
  await pass(1);
  const b = campaign('b', doorB);
  await pass(5);
  // The holder cannot learn of the deletion. The other candidate sees it at once.
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

test('a leader whose clock is set ahead steps down until it has renewed, and a leader whose clock is set back continues', async () => {
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

/** True if the leader led all the time and the other candidate never did. */
async function leadsAlone(leader: Leader, other: Leader, seconds: number): Promise<boolean> {
  for (let n = 0; n < seconds * 20; n++) {
    await vi.advanceTimersByTimeAsync(50);
    if (leader.remainingMs() === 0 || other.remainingMs() > 0) return false;
  }
  return true;
}

describe.each([5, 15, 120])('with a lease of %i s, a leader continues', (leaseSeconds) => {
  test.each<[string, Fault[]]>([
    ['two renewals in a row that hang', ['hangs', 'hangs']],
    ['two renewals in a row that fail', ['away', 'away']],
    ['a renewal whose answer is lost', ['lost']],
    ['two renewals whose answers are lost', ['lost', 'lost']],
    ['a renewal that is made and never answered', ['lost and hangs']],
    ['a lost answer after a renewal that hangs', ['hangs', 'lost and hangs']],
  ])('through %s', async (_, faults) => {
    const door = doorTo(kube);
    const a = campaign('a', door, leaseSeconds);
    await pass(1);
    const b = campaign('b', kube, leaseSeconds);
    for (let round = 0; round < 3; round++) {
      befall(door, 'replace', [...faults]);
      expect(await leadsAlone(a, b, leaseSeconds)).toBe(true);
    }
  });

  test('without any fault', async () => {
    const a = campaign('a', kube, leaseSeconds);
    await pass(1);
    const b = campaign('b', kube, leaseSeconds);
    expect(await leadsAlone(a, b, 4 * leaseSeconds)).toBe(true);
    expect(holder()).toBe('a');
  });
});

test.each<Fault>(['lost', 'lost and hangs'])(
  'a candidate leads by a Lease that it created although the answer was lost: %s',
  async (fault) => {
    const door = doorTo(kube);
    befall(door, 'create', [fault]);
    const a = campaign('a', door);
    await pass(6);
    expect(a.remainingMs()).toBeGreaterThan(0);
  },
);

test('a leader whose Lease was taken stops, even if it cannot read the new holder', async () => {
  const door = doorTo(kube);
  const a = campaign('a', door);
  await pass(1);
  const [lease] = kube.all('Lease');
  if (!lease) throw new Error('no lease');
  await kube.replace({ ...lease, spec: { ...lease.spec, holderIdentity: 'thief' } });
  door.faultOf = (verb) => (verb === 'get' ? 'hangs' : undefined);
  await pass(11);
  expect(a.remainingMs()).toBe(0);
  door.faultOf = () => undefined;
  await pass(3);
  expect(a.remainingMs()).toBe(0);
  expect(holder()).toBe('thief');
});

test('after a Lease was deleted and created again nobody leads before its holder has stopped, even if an answer is lost', async () => {
  const [doorA, doorB] = [doorTo(kube), doorTo(kube)];
  const a = campaign('a', doorA);
  await pass(1);
  const b = campaign('b', doorB);
  await pass(5);
  doorA.failing = true;
  befall(doorB, 'create', ['lost']);
  await kube.delete({ group: '', version: 'v1', plural: 'leases' }, 'lease', 'lazyscope-system');
  let overlapped = false;
  for (let n = 0; n < 300; n++) {
    await vi.advanceTimersByTimeAsync(100);
    overlapped ||= a.remainingMs() > 0 && b.remainingMs() > 0;
  }
  expect(overlapped).toBe(false);
  expect(b.remainingMs()).toBeGreaterThan(0);
});

test('a Lease is released although the answer to its last renewal was lost', async () => {
  const door = doorTo(kube);
  const a = campaign('a', door);
  await pass(1);
  befall(door, 'replace', ['lost']);
  await pass(3);
  befall(door, 'replace', []);
  await Promise.all([a.release(), pass(1)]);
  expect(holder()).toBe('');
});

test.each([1, 2, 3, 4])(
  'two of three candidates never lead at the same time, whatever fails: seed %i',
  async (seed) => {
    const random = randomOf(seed);
    // The pauses between attempts are random, too, and whether another one leads depends on them.
    vi.spyOn(Math, 'random').mockImplementation(randomOf(seed + 100));
    const faults: Fault[] = ['away', 'hangs', 'lost', 'lost and hangs'];
    const doors = [doorTo(kube), doorTo(kube), doorTo(kube)];
    const candidates = doors.map((door, n) => campaign(`c${n}`, door));
    const led = new Set<number>();
    for (let n = 0; n < 4_000; n++) {
      const door = doors[n % 3];
      if (door && n % 70 === 0) {
        const fault = random() < 0.4 ? faults[Math.floor(random() * faults.length)] : undefined;
        door.faultOf = () => (random() < 0.8 ? fault : undefined);
      }
      await vi.advanceTimersByTimeAsync(100);
      const leading = candidates.flatMap((leader, n) => (leader.remainingMs() > 0 ? [n] : []));
      expect(leading.length).toBeLessThan(2);
      for (const each of leading) led.add(each);
    }
    // Otherwise the test would have shown nothing.
    expect(led.size).toBeGreaterThan(1);
  },
);
