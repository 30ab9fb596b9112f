import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  connectionsMin,
  type Health,
  idleWindowsMax,
  judge,
  messagesMin,
  windowMs,
  wokenMax,
} from '../../../../companion/bypass/health.ts';
import type { Stats } from '../../../../companion/bypass/loader.ts';

type Figures = Record<string, number>;

function statsOf({ redirected = 0, stack = 0, ...counters }: Figures): Stats {
  const none = { redirectedMessages: 0, redirectedBytes: 0, stackMessages: 0, stackBytes: 0 };
  const outbound = { ...none, redirectedMessages: redirected, stackMessages: stack };
  return {
    ...{
      on: true,
      cgroups: 1,
      sockets: 0,
      arrived: 0,
      connections: 0,
      expected: 0,
      waiting: 0,
      swept: 0,
    },
    ...{ unreadMax: 0, counters, hops: { other: none, inbound: none, outbound } },
  };
}

/** The reason at the end of some windows, each with what the figures grew to. */
function after(...windows: Figures[]): string | undefined {
  let found: { health: Health; unwell?: string } = judge(undefined, statsOf({}), 0);
  windows.forEach((figures, i) => {
    found = judge(found.health, statsOf(figures), (i + 1) * windowMs);
  });
  return found.unwell;
}

test('reads that failed in an application end it within the window', () => {
  const { health } = judge(undefined, statsOf({ woken: 7 }), 0);
  expect(judge(health, statsOf({ woken: 7 + wokenMax - 1 }), 1).unwell).toBeUndefined();
  expect(judge(health, statsOf({ woken: 7 + wokenMax }), 1).unwell).toContain('3 blocking reads');
});

test('data that an application got twice ends it at once, and data that was removed does not', () => {
  const { health } = judge(undefined, statsOf({ repeated: 1 }), 0);
  expect(judge(health, statsOf({ repeated: 500 }), 1).unwell).toBeUndefined();
  const unwell = judge(health, statsOf({ repeated: 500, repeated_kept: 1 }), 1).unwell;
  expect(unwell).toContain('arrived twice');
});

test('one failed read now and then does not', () => {
  expect(after({ woken: 2 }, { woken: 4 }, { woken: 6 })).toBeUndefined();
});

test('a tenth of many sockets without room ends it, a few sockets do not', () => {
  const seen = { client_seen: connectionsMin };
  expect(after({ ...seen, no_room: 5, no_storage: 3, no_connection: 2 })).toContain('10 of 100');
  expect(after({ ...seen, no_room: 9 })).toBeUndefined();
  expect(after({ client_seen: connectionsMin - 1, no_room: 50 })).toBeUndefined();
});

test('it ends where hardly any of many messages was redirected in each of three windows', () => {
  const lost = (windows: number) => ({ stack: windows * messagesMin, redirected: windows * 10 });
  const windows = Array.from({ length: idleWindowsMax }, (_, i) => lost(i + 1));
  expect(after(...windows)).toContain('workloads lose by it');
  expect(after(...windows.slice(1))).toBeUndefined();
  const pause = lost(2);
  expect(after(lost(1), pause, pause, lost(3), lost(4))).toBeUndefined();
  expect(after({ stack: 9_000, redirected: 9_000 }, { stack: 1, redirected: 1 })).toBeUndefined();
});

test('whatever the figures, a bypass that redirects everything and fails nothing stays on', () => {
  const rounds = fc.array(
    fc.record({ redirected: fc.nat(1e6), client_seen: fc.nat(1e4), ms: fc.nat(100_000) }),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(rounds, (all) => {
      let total: Figures = {};
      let now = 0;
      let { health } = judge(undefined, statsOf({}), 0);
      for (const { ms, ...grown } of all) {
        now += ms;
        for (const [key, value] of Object.entries(grown))
          total = { ...total, [key]: (total[key] ?? 0) + value };
        const judged = judge(health, statsOf(total), now);
        expect(judged.unwell).toBeUndefined();
        health = judged.health;
      }
    }),
  );
});
