import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import type { FileTimes } from './file-times.ts';

/** The result of a group. */
export type Outcome = {
  name: string;
  seconds: number;
  passed: number;
  failed: number;
  /** The reasons why the group did not run. */
  missing: string[];
  /** Failed tests and files, with the first lines of the error. */
  failures: string[];
  /** Lines of the output that the summary repeats. They start with `gate: `. */
  notes: string[];
  times?: FileTimes | undefined;
};

/** Counts the tests of a vitest group. Any other group counts as one test. */
export function counts(
  report: string,
  code: number,
): Pick<Outcome, 'passed' | 'failed' | 'failures'> {
  try {
    const { numFailedTests, numPendingTests, numPassedTests, testResults } = JSON.parse(
      readFileSync(report, 'utf8'),
    ) as Report;
    const failed = numFailedTests + numPendingTests;
    return {
      passed: numPassedTests,
      // A group can fail outside of a test: in its set-up, or because it found no test.
      failed: code !== 0 && failed === 0 ? 1 : failed,
      failures: testResults.flatMap(failuresOf),
    };
  } catch {
    const passed = code === 0 ? 1 : 0;
    return { passed, failed: 1 - passed, failures: [] };
  }
}

/** Reads the times of `file-times.ts`, or returns undefined if there are none. */
export function timesOf(path: string): FileTimes | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as FileTimes;
  } catch {
    return undefined;
  }
}

/** The fields of vitest's JSON report that this file reads. */
type Report = {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  testResults: FileReport[];
};

type FileReport = {
  name: string;
  status: string;
  /** The error of a file outside of its tests: in an import or a hook. */
  message?: string;
  assertionResults: { status: string; fullName: string; failureMessages?: string[] }[];
};

function failuresOf({ name, status, message, assertionResults }: FileReport): string[] {
  const tests = assertionResults
    .filter((test) => test.status !== 'passed')
    .map((test) => `${test.fullName} (${test.status})\n${excerpt(test.failureMessages)}`);
  const outside =
    status !== 'passed' && message ? [`${relative('.', name)}\n${excerpt([message])}`] : [];
  return [...outside, ...tests];
}

/** The first lines of a test's error. The whole error stands in the output of the group. */
function excerpt(messages: readonly string[] = []): string {
  return messages
    .flatMap((message) => message.split('\n').slice(0, 12))
    .map((line) => `    ${line.slice(0, 300)}`)
    .join('\n');
}
