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

test('after no series of events does the bypass serve without a self-test, or serve on without a label', () => {
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
