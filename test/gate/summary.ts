import { stripVTControlCharacters } from 'node:util';
import type { Outcome } from './reports.ts';

/** The summary reports a group that took this many times as long as recorded. */
export const slowFactor = 1.5;
/** The factor means nothing for a group that takes fewer seconds than this. */
const slowSecondsMin = 20;
/** The number of files that the summary names for each group. */
const filesShown = 3;
/** The summary names no files of a group that takes fewer seconds than this. */
const detailSecondsMin = 30;

export const clock = (seconds: number) =>
  `${Math.floor(seconds / 60)}:${String(Math.round(seconds) % 60).padStart(2, '0')}`;

/**
 * The name of the test if this line of Vitest says that a test failed. The gate prints it at once,
 * because the output of a group that shares the terminal with others comes when the group ends.
 */
export const failedTest = (line: string) => /^\s*× (.+)$/.exec(stripVTControlCharacters(line))?.[1];

/** One line for each group. The line of a group that took much longer than recorded says so. */
function rowOf({ name, seconds, passed, failed, missing }: Outcome, recorded: number | undefined) {
  const result = missing.length > 0 ? 'DID NOT RUN' : `${passed} passed, ${failed} failed`;
  const slow =
    recorded !== undefined && seconds > Math.max(slowSecondsMin, slowFactor * recorded)
      ? `   SLOW: ${(seconds / recorded).toFixed(1)} times its recorded ${recorded} s`
      : '';
  return `${name.padEnd(16)}${String(seconds).padStart(5)} s  ${result}${slow}`;
}

/** The files in which the longer groups spent their time. */
function detailOf({ name, seconds, times }: Outcome): string[] {
  if (times === undefined || seconds < detailSecondsMin) return [];
  const slowest = [...times.files].sort((a, b) => b.seconds - a.seconds).slice(0, filesShown);
  const files = slowest.map(
    (file) => `${file.name.replace(/^.*\//, '')} ${file.seconds.toFixed(0)} s`,
  );
  return [`${name.padEnd(16)}  set-up ${times.setUp.toFixed(0)} s; ${files.join(', ')}`];
}

/** The last output of the gate. The last line is the total, for programs too. */
export function summaryOf(
  outcomes: readonly Outcome[],
  recorded: Record<string, number>,
  { seconds, missingFails }: { seconds: number; missingFails: boolean },
): string[] {
  const details = outcomes.flatMap(detailOf);
  const notRun = outcomes.filter(({ missing }) => missing.length > 0);
  const sum = (key: 'passed' | 'failed') => outcomes.reduce((total, one) => total + one[key], 0);
  const failed = sum('failed') + (missingFails ? notRun.length : 0);
  return [
    '=== summary',
    ...outcomes.map((outcome) => rowOf(outcome, recorded[outcome.name])),
    ...(details.length > 0 ? ['', 'where the time went:', ...details] : []),
    ...notRun.map(
      ({ name, missing }) => `\nDID NOT RUN: ${name}, because\n- ${missing.join('\n- ')}`,
    ),
    ...outcomes.flatMap(({ name, failures }) =>
      failures.map((failure) => `\nFAILED: ${name}: ${failure}`),
    ),
    ...outcomes.flatMap(({ name, notes }) => notes.map((note) => `${name}: ${note}`)),
    '',
    `all in ${clock(seconds)}`,
    `${sum('passed')} passed, ${failed} failed`,
  ];
}

/**
 * The first output of the gate: the groups that will run, the groups that cannot run with the
 * reasons, and the expected time.
 */
export function announcement(
  names: readonly string[],
  missing: ReadonlyMap<string, readonly string[]>,
  estimates: { quick: number; all: number },
): string[] {
  const running = names.filter((name) => !missing.has(name));
  const reasons = new Map<string, string[]>();
  for (const [name, lines] of missing)
    for (const line of lines) reasons.set(line, [...(reasons.get(line) ?? []), name]);
  return [
    `will run: ${running.join(', ')}`,
    ...[...reasons].map(([line, groups]) => `CANNOT RUN: ${groups.join(', ')}: ${line}`),
    ...(estimates.quick > 0 ? [`the quick part takes about ${clock(estimates.quick)} min`] : []),
    `the whole run takes about ${clock(estimates.all)} min on two cores; the first run also compiles missing binaries`,
  ];
}
