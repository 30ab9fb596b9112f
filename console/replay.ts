import type { Change, Topology } from './answers.ts';
import { ask, controllerNow } from './api.ts';
import { h } from './dom.ts';
import type { Place } from './flows.ts';
import { isHeld } from './hands.ts';
import { timeText } from './text.ts';

/** The time that is shown, and the controls that choose it. */

/** `at` undefined: now. `compareMs`: how long before it the compared moment is. */
export const shown: {
  at: number | undefined;
  minutes: number;
  compareMs: number | 'marked';
  /** A moment that was kept to be compared with others. */
  marked: number | undefined;
} = { at: undefined, minutes: 5, compareMs: 0, marked: undefined };
let playing: ReturnType<typeof setInterval> | undefined;
let speed = 60;

export function stopReplay(): void {
  clearInterval(playing);
  playing = undefined;
}

export function isLive(): boolean {
  return shown.at === undefined;
}

/** Shows another time; one that is not over yet is now, and none is before all that is known. */
export function showTime(at: number | undefined, { now, oldestAt }: Topology): void {
  shown.at = at === undefined || at >= now ? undefined : Math.max(at, oldestAt);
}

/** The moment that another one is compared with; undefined for none. */
export function comparedAt(to: number): number | undefined {
  const { compareMs, marked } = shown;
  if (compareMs === 'marked') return marked;
  return compareMs > 0 ? to - compareMs : undefined;
}

export function timeControls(found: Topology, place: Place, redraw: () => void): HTMLElement {
  const go = (at: number | undefined) => {
    showTime(at, found);
    redraw();
  };
  const slider = h('input', {
    ...{ type: 'range', id: 'when', step: 1_000, min: found.oldestAt },
    // A whole number of steps, so that now is at the end.
    max: found.oldestAt + Math.ceil((found.now - found.oldestAt) / 1_000) * 1_000,
    value: isLive() ? found.now + 1_000 : found.to,
    'aria-valuetext': timeText(found.to),
    change: (event: Event) => go(Number((event.target as HTMLInputElement).value)),
  });
  const label = shown.at === undefined ? 'Now' : timeText(found.to);
  return h(
    'section',
    { class: 'time', 'aria-label': 'Time' },
    h(
      'div',
      { class: 'controls' },
      h('label', { for: 'when', class: 'when' }, label),
      h('span', { class: 'quiet' }, timeText(found.oldestAt)),
      slider,
      h('span', { class: 'quiet' }, 'now'),
    ),
    h('div', { class: 'controls' }, ...buttons(found, place, go, redraw), ...choices(redraw)),
  );
}

/** Another change of what is shown; undefined if there is none. */
async function nextChange(found: Topology, place: Place, forward: boolean) {
  const { namespace = '', workload = '' } = place;
  const time = forward ? { from: found.to + 1, order: 'first' } : { to: found.to - 1_001 };
  const of = { namespace, workload, limit: 1 };
  const { changes } = await ask<{ changes: Change[] }>('changes', { ...of, ...time });
  return changes[0]?.at;
}

function buttons(
  found: Topology,
  place: Place,
  go: (at: number | undefined) => void,
  redraw: () => void,
): HTMLElement[] {
  const jump = (forward: boolean) => async () => {
    const at = await nextChange(found, place, forward);
    // Before the first change there is only the beginning.
    go(at ?? (forward ? undefined : found.beginsAt));
  };
  const play = () => {
    if (playing) stopReplay();
    else {
      shown.at ??= found.beginsAt;
      playing = setInterval(() => {
        // The slider is in the user's hand.
        if (isHeld()) return;
        shown.at = (shown.at ?? 0) + speed * 1_000;
        if (shown.at >= controllerNow()) {
          stopReplay();
          shown.at = undefined;
        }
        redraw();
      }, 1_000);
    }
    redraw();
  };
  const live = () => {
    stopReplay();
    go(undefined);
  };
  const mark = () => {
    Object.assign(shown, { marked: found.to, compareMs: 'marked' });
    redraw();
  };
  const button = (text: string, click: () => void, isOff = false) =>
    h('button', { type: 'button', click, disabled: isOff }, text);
  return [
    button(playing ? 'Pause' : 'Replay', play),
    button('Previous change', jump(false)),
    button('Next change', jump(true), isLive()),
    button('Live', live, isLive()),
    button('Mark this moment', mark),
  ];
}

function choices(redraw: () => void): HTMLElement[] {
  const span = (n: number) => (n < 60 ? `${n} min` : `${n / 60} h`);
  return [
    choice('Span', shown.minutes, [1, 5, 15, 60, 1_440], span, (n) => {
      shown.minutes = n;
      redraw();
    }),
    choice(
      'Speed',
      speed,
      // The last one is for days and weeks.
      [10, 60, 600, 3_600],
      (n) => `${n} ×`,
      (n) => {
        speed = n;
      },
    ),
    choice(
      'Compare with',
      shown.compareMs,
      [...Object.keys(compared).map(Number), ...(shown.marked ? ['marked' as const] : [])],
      (n) => (n === 'marked' ? timeText(shown.marked ?? 0) : (compared[n] ?? '')),
      (n) => {
        shown.compareMs = n;
        redraw();
      },
    ),
  ];
}

const compared: Record<number, string> = {
  0: 'nothing',
  300000: '5 min before',
  3600000: '1 h before',
  86400000: '1 day before',
};

function choice<Value extends number | 'marked'>(
  title: string,
  value: Value,
  values: readonly Value[],
  text: (value: Value) => string,
  onChoice: (value: Value) => void,
): HTMLElement {
  const options = values.map((each) =>
    h('option', { value: each, selected: each === value }, text(each)),
  );
  const change = (event: Event) => {
    const chosen = values[(event.target as HTMLSelectElement).selectedIndex];
    if (chosen !== undefined) onChoice(chosen);
  };
  return h('label', {}, `${title} `, h('select', { change }, ...options));
}
