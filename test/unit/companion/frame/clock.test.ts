import fc from 'fast-check';
import { expect, test } from 'vitest';
import { steadyClock } from '../../../../companion/bounds/clock.ts';

function machine() {
  const time = { wall: Date.parse('2026-01-01T00:00:00Z'), elapsed: 500 };
  const clock = steadyClock(
    () => time.wall,
    () => time.elapsed,
  );
  const pass = (ms: number) => {
    time.wall += ms;
    time.elapsed += ms;
  };
  return { time, clock, pass };
}

test('the clock returns the wall clock’s time while nobody sets the wall clock', () => {
  const { time, clock, pass } = machine();
  for (const ms of [0, 1, 1_000, 86_400_000]) {
    pass(ms);
    expect(clock()).toBe(time.wall);
  }
});

test.each([86_400_000, -86_400_000])('a jump of %i ms is not followed at once', (jump) => {
  const { time, clock, pass } = machine();
  const before = clock();
  time.wall += jump;
  pass(10_000);
  expect(Math.abs(clock() - before - 10_000)).toBeLessThanOrEqual(100);
});

test('a clock that was wrong at the start is corrected over time', () => {
  const { time, clock, pass } = machine();
  clock();
  time.wall += 3_600_000;
  for (let hours = 0; hours < 101; hours++) {
    pass(3_600_000);
    clock();
  }
  expect(clock()).toBe(time.wall);
});

test('the clock never goes back, and no interval is wrong by more than 1 %, whatever the wall clock does', () => {
  const step = fc.record({ ms: fc.nat(100_000), jump: fc.integer({ min: -1e10, max: 1e10 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
      const { time, clock, pass } = machine();
      for (const { ms, jump } of steps) {
        const before = clock();
        time.wall += jump;
        pass(ms);
        expect(Math.abs(clock() - before - ms)).toBeLessThanOrEqual(ms * 0.01 + 1);
      }
    }),
  );
});
