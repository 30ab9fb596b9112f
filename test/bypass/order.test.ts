import { expect, test } from 'vitest';
import type { Loader } from '../../companion/bypass/loader.ts';
import { useRig } from './rig.ts';

const rig = useRig();

type Case = { rcvbuf: number; sndbuf: number; chunk: number; stop: number | 'believed' };

/**
 * Fills the stack while redirection is off and lets the kernel keep its verdict over a partial
 * send. Reads a part, turns redirection on and sends more. The last bytes must arrive last,
 * whatever was unread.
 */
async function overtakes(loader: Loader, { rcvbuf, sndbuf, chunk, stop }: Case): Promise<string> {
  const { agent } = rig;
  const { client, server } = await agent.do('pair', { rcvbuf, sndbuf });
  await loader.policy({ redirect: false });
  const filled = await agent.do('fill', { id: client, size: chunk, most: 30e6 });
  const first = await agent.do('expect', { id: server, runs: [['f', filled.n]] });
  if (first.n !== filled.n) return `lost: ${JSON.stringify(first)}`;
  const { n = 0 } = await agent.do('send', { id: client, byte: 'B', size: 500_000 });
  const believed = stop === 'believed' ? (await loader.stats()).unreadMax : stop;
  await loader.policy({ redirect: true });
  const before = Math.min(believed, n);
  const early = await agent.do('expect', { id: server, runs: [['B', before]] });
  let tail = 0;
  for (let i = 0; i < 3; i++) tail += (await agent.do('send', { id: client, text: 'Z' })).n ?? 0;
  const runs = [
    ['B', n - before],
    ['Z', tail],
  ];
  const late = await agent.do('expect', { id: server, runs });
  await agent.do('close_all');
  const right = early.n === before && late.n === n - before + tail;
  return right ? 'right' : JSON.stringify({ early, late, n, before, tail });
}

test('bytes after a partial send never overtake it, wherever the reader stopped', async () => {
  const loader = await rig.accelerate();
  const stops = [0, 1, 1000, 4528, 11872, 24528, 30158, 36273, 54528, 80158, 154528, 250000];
  const outcomes = new Map<string, string>();
  for (const rcvbuf of [0, 16384, 65536])
    for (const sndbuf of [65536, 400000])
      for (const chunk of [30000, 50000, 100000, 300000])
        for (const stop of [...stops, 499999, 500000, 'believed' as const]) {
          const outcome = await overtakes(loader, { rcvbuf, sndbuf, chunk, stop });
          if (outcome !== 'right') outcomes.set(`${rcvbuf} ${sndbuf} ${chunk} ${stop}`, outcome);
        }
  expect([...outcomes]).toEqual([]);
  const { counters, hops } = await loader.stats();
  // The test proves something only if flows have returned to redirection.
  expect(counters.to_redirect).toBeGreaterThan(5);
  expect(hops.other.redirectedBytes).toBeGreaterThan(0);
});

test('any series of switches keeps the order of the bytes', async () => {
  const loader = await rig.accelerate();
  const { client, server } = await rig.agent.do('pair');
  for (let series = 0; series < 64; series++) {
    const runs: [string, number][] = [];
    for (let i = 0; i < 6; i++) {
      await loader.policy({ redirect: ((series >> i) & 1) === 1 });
      const byte = String.fromCharCode(65 + i);
      const { n } = await rig.agent.do('send', { id: client, byte, size: 1000 * (i + 1) });
      runs.push([byte, n]);
      // Sometimes the server reads everything in between, and sometimes a part.
      if ((series + i) % 3 === 0) {
        const part = runs.map(([each, size]): [string, number] => [each, size]);
        const last = part[part.length - 1];
        if (last && series % 2) last[1] = Math.floor(last[1] / 2);
        const { n: got } = await rig.agent.do('expect', { id: server, runs: part });
        expect(got).toBe(part.reduce((sum, [, size]) => sum + size, 0));
        const rest = n - (last?.[1] ?? 0);
        runs.splice(0, runs.length, ...(rest > 0 ? [[byte, rest] as [string, number]] : []));
      }
    }
    const answer = await rig.agent.do('expect', { id: server, runs });
    expect({ series, ...answer }).toEqual({
      series,
      n: runs.reduce((sum, [, size]) => sum + size, 0),
    });
  }
  const { hops } = await loader.stats();
  expect(hops.other.redirectedMessages).toBeGreaterThan(10);
  expect(hops.other.stackMessages).toBeGreaterThan(10);
});

test('random bytes both ways arrive equal while the switch is toggled', async () => {
  const loader = await rig.accelerate();
  const { client, server } = await rig.agent.do('pair');
  const done = rig.agent.do('exchange', { client, server, size: 64 << 20 });
  let over = false;
  void done.then(() => {
    over = true;
  });
  let toggles = 0;
  while (!over) {
    await loader.policy({ redirect: toggles % 2 === 0 });
    toggles++;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  expect(await done).toMatchObject({ same: [true, true], counts: [64 << 20, 64 << 20] });
  expect(toggles).toBeGreaterThan(5);
  const { hops } = await loader.stats();
  expect(hops.other.redirectedBytes).toBeGreaterThan(1 << 20);
  expect(hops.other.stackBytes).toBeGreaterThan(1 << 20);
});

/** Bytes that the segment repeats, and whether the reader has taken them before. */
const repetitions = [1, 535, 4095, 4096, 4700].flatMap((again) =>
  [false, true].map((taken) => ({ again, taken })),
);

test('a segment that repeats bytes and adds new ones brings the new ones only', async () => {
  const loader = await rig.accelerate();
  const { agent } = rig;
  await loader.policy({ redirect: false });
  for (const { again, taken } of repetitions) {
    const { client, server } = await agent.do('pair');
    const sent = ['A', again] as const;
    await agent.do('send', { id: client, byte: 'A', size: again, timeout: 5 });
    if (taken) await agent.do('expect', { id: server, runs: [sent] });
    const { id } = await agent.do('repeat', { id: client, again, old: 'A', new: 'B', size: 600 });
    await agent.do('shutdown', { id });
    const runs = [...(taken ? [] : [sent]), ['B', 600]];
    const arrived = await agent.do('expect', { id: server, runs });
    expect({ again, taken, arrived }).toEqual({
      again,
      taken,
      arrived: { n: taken ? 600 : again + 600 },
    });
    expect(await agent.do('receive', { id: server, size: 1 })).toMatchObject({ n: 0 });
    await agent.do('close_all');
  }
  const { repeated, repeated_kept } = (await loader.stats()).counters;
  expect(repeated).toBeGreaterThanOrEqual(repetitions.length);
  expect(repeated_kept).toBe(0);
});
