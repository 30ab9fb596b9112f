/** Numbers and times as texts with their units. Pure. */

export function megabytes(bytes: number): string {
  if (bytes <= 0) return '–';
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(bytes < 1e10 ? 2 : 1)} GB`;
  return `${(bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0)} MB`;
}

/** The time of day; with the day if it is another one, and with the year if that is another. */
export function timeText(ms: number): string {
  if (!(ms > 0)) return '–';
  const [time, now] = [new Date(ms), new Date()];
  const clock = time.toLocaleTimeString(undefined, { hourCycle: 'h23' });
  if (time.toDateString() === now.toDateString()) return clock;
  const isOtherYear = time.getFullYear() !== now.getFullYear();
  const day = time.toLocaleDateString(undefined, {
    ...{ day: 'numeric', month: 'short' },
    ...(isOtherYear && { year: 'numeric' }),
  });
  return `${day} ${clock}`;
}

/** `90 s`, `62 min`, `3 h`, `5 days`. */
export function durationText(ms: number): string {
  const seconds = ms / 1_000;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 2 * 3_600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 2 * 86_400) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** In the unit in which it is at least one, so that a rare call is not shown as none. */
export function rateText(perSecond: number): string {
  if (perSecond <= 0) return '–';
  if (perSecond >= 1) return `${perSecond.toFixed(1)}/s`;
  if (perSecond * 60 >= 1) return `${(perSecond * 60).toFixed(1)}/min`;
  return `${(perSecond * 3_600).toFixed(1)}/h`;
}

/** Zero is what was not measured. */
export function count(value: number): string {
  return value > 0 ? value.toLocaleString() : '–';
}
