import { counted } from '../core/mesh/counted.ts';
/**
 * What the bypass of a node is doing.
 *
 *   off -> probing -> ready <-> active
 *            |  ^       |         |
 *            v  |       v         v
 *         refused   (loader ended: probing again after a pause)      draining -> off
 *
 * Where it does harm or no good it drains, and rests before it is tested again.
 */
export type BypassState =
  | { name: 'off'; reason: string }
  | { name: 'probing'; attempt: number }
  /** The kernel does not support the bypass or failed the self-test; tried again much later. */
  | { name: 'refused'; reason: string }
  /** Loaded and tested, with no pod to serve. */
  | { name: 'ready' }
  | { name: 'active'; pods: number }
  | { name: 'draining'; reason: string };

export type StateEvent =
  | { type: 'wanted' }
  | { type: 'unwanted'; reason: string }
  | { type: 'proven' }
  | { type: 'disproven'; reason: string }
  | { type: 'attached'; pods: number }
  | { type: 'drained' }
  | { type: 'loader ended'; reason: string }
  /** It does harm or no good here (health.ts). */
  | { type: 'unwell'; reason: string }
  /** What the self-test proved may not hold any more. */
  | { type: 'outdated'; reason: string };

export type Machine = {
  state: BypassState;
  /** Recent ends of the loader, in milliseconds of a clock that does not jump. */
  ends: readonly number[];
  /** The loader may not be started before this time. */
  notBefore: number;
  /** The loader flapped: off until the node's label is removed. */
  barred: boolean;
  /** Times of recent rests. */
  rests: readonly number[];
  /** It rests until this time. */
  restsUntil: number;
};

/**
 * Pause after the first end of a loader; it doubles with each further end, up to the second value.
 */
export const pauseMs = { first: 1_000, most: 60_000 };
/** A loader that ends more often than this within this time will not recover by itself. */
export const flapping = { ends: 5, withinMs: 600_000 };

/** A self-test may fail because the node was busy, so a refusal is not permanent. */
export const retryMs = 600_000;

/**
 * Rest after the bypass did harm; it doubles with each rest within a day, up to the second value,
 * so that a node does not switch to and fro.
 */
export const restMs = { first: 600_000, most: 14_400_000, forgottenAfter: 86_400_000 };

export const begin: Machine = {
  state: { name: 'off', reason: 'not requested' },
  ends: [],
  notBefore: 0,
  barred: false,
  rests: [],
  restsUntil: 0,
};

/** The next state after an event. An event without meaning in a state changes nothing. */
export function next(machine: Machine, event: StateEvent, now: number): Machine {
  const { state } = machine;
  const to = (changed: BypassState): Machine => ({ ...machine, state: changed });
  switch (event.type) {
    case 'wanted':
      return mayTry(machine, now) ? to({ name: 'probing', attempt: 1 }) : machine;
    case 'unwanted':
      return afterUnwanted(machine, event.reason);
    case 'proven':
      return state.name === 'probing' ? to({ name: 'ready' }) : machine;
    case 'disproven':
      if (state.name !== 'probing') return machine;
      return {
        ...machine,
        state: { name: 'refused', reason: event.reason },
        notBefore: now + retryMs,
      };
    case 'attached':
      if (!isLoaded(state)) return machine;
      return to(event.pods > 0 ? { name: 'active', pods: event.pods } : { name: 'ready' });
    case 'drained':
      return state.name === 'draining' ? to({ name: 'off', reason: state.reason }) : machine;
    case 'unwell':
      return isLoaded(state) ? afterUnwell(machine, event.reason, now) : machine;
    case 'outdated':
      return isLoaded(state) ? to({ name: 'draining', reason: event.reason }) : machine;
    case 'loader ended':
      return afterEnd(machine, event.reason, now);
  }
}

function mayTry({ state, notBefore, barred, restsUntil }: Machine, now: number): boolean {
  if (barred || now < restsUntil) return false;
  return state.name === 'off' || (state.name === 'refused' && now >= notBefore);
}

function afterUnwanted(machine: Machine, reason: string): Machine {
  const { state } = machine;
  const calm = { ...machine, barred: false, notBefore: 0, rests: [], restsUntil: 0 };
  if (isLoaded(state)) return { ...calm, state: { name: 'draining', reason } };
  if (state.name === 'draining' || state.name === 'off') return calm;
  return { ...calm, state: { name: 'off', reason } };
}

function afterUnwell(machine: Machine, reason: string, now: number): Machine {
  const rests = [...machine.rests.filter((at) => now - at < restMs.forgottenAfter), now];
  const rest = Math.min(restMs.first * 2 ** (rests.length - 1), restMs.most);
  const minutes = counted(rest / 60_000, 'minute');
  const state = { name: 'draining' as const, reason: `${reason}; it rests for ${minutes}` };
  return { ...machine, state, rests, restsUntil: now + rest };
}

function afterEnd(machine: Machine, reason: string, now: number): Machine {
  const { state } = machine;
  if (state.name === 'draining')
    return { ...machine, state: { name: 'off', reason: state.reason } };
  if (state.name === 'off' || state.name === 'refused') return machine;
  const ends = [...machine.ends.filter((at) => now - at < flapping.withinMs), now];
  if (ends.length > flapping.ends) {
    const often = `the loader ended ${ends.length} times in ten minutes, last: ${reason}`;
    return {
      ...machine,
      ...{ state: { name: 'off', reason: often }, ends: [], notBefore: now, barred: true },
    };
  }
  const pause = Math.min(pauseMs.first * 2 ** (ends.length - 1), pauseMs.most);
  const attempt = ends.length + 1;
  return { ...machine, state: { name: 'probing', attempt }, ends, notBefore: now + pause };
}

export function isLoaded({ name }: BypassState): boolean {
  return name === 'ready' || name === 'active';
}

/** One line for people: the state and its reason. */
export function describe(state: BypassState): string {
  switch (state.name) {
    case 'active':
      return `active (${counted(state.pods, 'pod')})`;
    case 'probing':
      return `probing (attempt ${state.attempt})`;
    case 'ready':
      return 'ready';
    default:
      return `${state.name} (${state.reason})`;
  }
}
