import type { Change, Topology } from './answers.ts';
import { ask } from './api.ts';
import { h, timeText } from './dom.ts';

/** The time that is shown, and the controls that choose it. */

/** `at` undefined: now. */
export const shown: { at: number | undefined; minutes: number; compareMs: number } = {
  at: undefined,
  minutes: 5,
  compareMs: 0,
};
let playing: ReturnType<typeof setInterval> | undefined;
let speed = 60;

export function stopReplay(): void {
  clearInterval(playing);
  playing = undefined;
}

export function isLive(): boolean {
  return shown.at === undefined;
}

/** Shows another time; one that is not over yet is now, and none is before the history. */
export function showTime(at: number | undefined, { now, beginsAt }: Topology): void {
  shown.at = at === undefined || at >= now ? undefined : Math.max(at, beginsAt);
}

export function timeControls(found: Topology, redraw: () => void): HTMLElement {
  const go = (at: number | undefined) => {
    showTime(at, found);
    redraw();
  };
  const slider = h('input', {
    ...{ type: 'range', id: 'when', step: 1_000, min: found.beginsAt },
    // A whole number of steps, so that now is at the end.
    max: found.beginsAt + Math.ceil((found.now - found.beginsAt) / 1_000) * 1_000,
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
      h('span', { class: 'quiet' }, timeText(found.beginsAt)),
      slider,
      h('span', { class: 'quiet' }, 'now'),
    ),
    h('div', { class: 'controls' }, ...buttons(found, go, redraw), ...choices(redraw)),
  );
}

function buttons(
  found: Topology,
  go: (at: number | undefined) => void,
  redraw: () => void,
): HTMLElement[] {
  const jump = (forward: boolean) => async () => {
    const { changes } = await ask<{ changes: Change[] }>('changes');
    const times = changes.map(({ at }) => at).sort((a, b) => a - b);
    const at = forward
      ? times.find((each) => each > found.to)
      : times.reverse().find((each) => each < found.to - 1_000);
    // Before the first change there is only the beginning.
    go(at ?? (forward ? undefined : found.beginsAt));
  };
  const play = () => {
    if (playing) stopReplay();
    else {
      shown.at ??= found.beginsAt;
      playing = setInterval(() => {
        shown.at = (shown.at ?? 0) + speed * 1_000;
        if (shown.at >= Date.now()) {
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
  const button = (text: string, click: () => void, isOff = false) =>
    h('button', { type: 'button', click, disabled: isOff }, text);
  return [
    button(playing ? 'Pause' : 'Replay', play),
    button('Previous change', jump(false)),
    button('Next change', jump(true), isLive()),
    button('Live', live, isLive()),
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
      [10, 60, 600],
      (n) => `${n} ×`,
      (n) => {
        speed = n;
      },
    ),
    choice(
      'Compare with',
      shown.compareMs,
      Object.keys(compared).map(Number),
      (n) => compared[n] ?? '',
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

function choice(
  title: string,
  value: number,
  values: readonly number[],
  text: (value: number) => string,
  onChoice: (value: number) => void,
): HTMLElement {
  const options = values.map((each) =>
    h('option', { value: each, selected: each === value }, text(each)),
  );
  const change = (event: Event) => onChoice(Number((event.target as HTMLSelectElement).value));
  return h('label', {}, `${title} `, h('select', { change }, ...options));
}
