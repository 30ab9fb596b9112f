import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  begin,
  describe,
  flapping,
  isLoaded,
  type Machine,
  next,
  pauseMs,
  restMs,
  retryMs,
  type StateEvent,
} from '../../../../companion/bypass/state.ts';

function after(events: StateEvent[], machine: Machine = begin, now = 0): Machine {
  return events.reduce((each, event) => next(each, event, now), machine);
}

const wanted: StateEvent = { type: 'wanted' };
const proven: StateEvent = { type: 'proven' };
const ended: StateEvent = { type: 'loader ended', reason: 'killed' };
const unwanted: StateEvent = { type: 'unwanted', reason: 'no label' };

test('the state goes from off through probing and ready to active, and back through draining', () => {
  const names = [wanted, proven, { type: 'attached', pods: 2 } as const, unwanted].map(
    (_, i, all) => describe(after(all.slice(0, i + 1)).state),
  );
  expect(names).toEqual(['probing (attempt 1)', 'ready', 'active (2 pods)', 'draining (no label)']);
  const drained = after([wanted, proven, unwanted, { type: 'drained' }]);
  expect(describe(drained.state)).toBe('off (no label)');
  expect(describe(after([wanted, proven, { type: 'attached', pods: 0 }]).state)).toBe('ready');
});

test('a refusal lasts ten minutes, or until the label goes', () => {
  const refused = after([wanted, { type: 'disproven', reason: 'no BTF' }]);
  expect(describe(refused.state)).toBe('refused (no BTF)');
  expect(next(refused, wanted, retryMs - 1).state.name).toBe('refused');
  expect(next(refused, wanted, retryMs).state.name).toBe('probing');
  expect(after([unwanted, wanted], refused).state.name).toBe('probing');
});

test('a loader that ends is restarted after a pause that doubles', () => {
  let machine = after([wanted, proven]);
  const pauses: number[] = [];
  for (let i = 0; i < flapping.ends; i++) {
    machine = next(machine, ended, 1000);
    pauses.push(machine.notBefore - 1000);
    machine = next(machine, proven, 1000);
  }
  expect(pauses).toEqual([1, 2, 4, 8, 16].map((factor) => factor * pauseMs.first));
});

test('one end too many within ten minutes turns the bypass off, until the label goes', () => {
  let machine = after([wanted]);
  for (let i = 0; i <= flapping.ends; i++) machine = after([proven, ended], machine);
  expect(machine.state.name).toBe('off');
  expect(describe(machine.state)).toContain('6 times');
  expect(after([wanted], machine).state.name).toBe('off');
  expect(after([unwanted, wanted], machine).state.name).toBe('probing');
});

test('ends that lie far apart do not add up', () => {
  let machine = after([wanted]);
  for (let i = 0; i < 20; i++) {
    machine = next(next(machine, proven, i), ended, i * (flapping.withinMs + 1));
    expect(machine.state).toMatchObject({ name: 'probing', attempt: 2 });
  }
});

const unwell: StateEvent = { type: 'unwell', reason: 'reads failed' };
const attached: StateEvent = { type: 'attached', pods: 1 };
const drained: StateEvent = { type: 'drained' };

test('where it does harm it drains, rests, and is tested again before it serves', () => {
  const resting = after([wanted, proven, attached, unwell, drained, wanted]);
  expect(describe(resting.state)).toBe('off (reads failed; it rests for 10 minutes)');
  expect(next(resting, wanted, restMs.first - 1).state.name).toBe('off');
  expect(next(resting, wanted, restMs.first).state.name).toBe('probing');
  // A user who takes the label away and sets it again need not wait.
  expect(after([unwanted, wanted], resting).state.name).toBe('probing');
});

test('each rest within a day is twice as long, up to four hours; after a day the first is forgotten', () => {
  const harmed = (machine: Machine, now: number) =>
    after([wanted, proven, unwell, drained], machine, now);
  let machine = begin;
  const rests: number[] = [];
  for (let now = 0, i = 0; i < 7; i++, now = machine.restsUntil) {
    machine = harmed(machine, now);
    rests.push((machine.restsUntil - now) / 60_000);
  }
  expect(rests).toEqual([10, 20, 40, 80, 160, 240, 240]);
  const later = machine.restsUntil + restMs.forgottenAfter;
  expect(harmed(machine, later).restsUntil - later).toBe(restMs.first);
});

test('a patched kernel is tested again at once', () => {
  const outdated: StateEvent = { type: 'outdated', reason: 'patched' };
  const machine = after([wanted, proven, attached, outdated]);
  expect(describe(machine.state)).toBe('draining (patched)');
  expect(after([drained, wanted], machine).state.name).toBe('probing');
  expect(after([outdated], after([wanted])).state.name).toBe('probing');
});

test('after no series of events does it probe or serve while it rests', () => {
  const step = fc.record({
    event: fc.constantFrom(wanted, proven, attached, unwell, drained, ended),
    ms: fc.integer({ min: 0, max: 2_000_000 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      let machine = begin;
      let now = 0;
      for (const { event, ms } of steps) {
        now += ms;
        machine = next(machine, event, now);
        if (now < machine.restsUntil) expect(isLoaded(machine.state)).toBe(false);
        if (now < machine.restsUntil) expect(machine.state.name).not.toBe('probing');
        for (let i = 1; i < machine.rests.length; i++) {
          const between = (machine.rests[i] ?? 0) - (machine.rests[i - 1] ?? 0);
          expect(between).toBeGreaterThanOrEqual(restMs.first);
        }
      }
    }),
  );
});

test('after no series of events does the bypass serve does the bypass serve without a self-test, or serve on without a label', () => {
  const event: fc.Arbitrary<StateEvent> = fc.constantFrom<StateEvent[]>(
    wanted,
    unwanted,
    proven,
    ended,
    { type: 'disproven', reason: 'r' },
    { type: 'attached', pods: 3 },
    { type: 'drained' },
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      let machine = begin;
      let proof = false;
      for (const each of events) {
        machine = next(machine, each, 0);
        if (each.type === 'proven') proof = true;
        if (each.type === 'loader ended') proof = false;
        if (isLoaded(machine.state)) expect(proof).toBe(true);
        if (each.type === 'unwanted') expect(isLoaded(machine.state)).toBe(false);
      }
    }),
  );
});
