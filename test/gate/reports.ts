import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import type { FileTimes } from './file-times.ts';

/** What became of a group. */
export type Outcome = {
  name: string;
  seconds: number;
  passed: number;
  failed: number;
  /** Why it did not run. */
  missing: string[];
  /** Tests and files that failed, with the first lines of why. */
  failures: string[];
  /** Lines of its output that the summary repeats: those that begin with `gate: `. */
  notes: string[];
  times?: FileTimes | undefined;
};

/** Tests of a vitest group; any other group counts as one. */
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

/** What `file-times.ts` wrote, if it did. */
export function timesOf(path: string): FileTimes | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as FileTimes;
  } catch {
    return undefined;
  }
}

/** The part of the JSON reports of vitest that is read here. */
type Report = {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  testResults: FileReport[];
};

type FileReport = {
  name: string;
  status: string;
  /** Why the file failed outside of its tests: an import, or a hook. */
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

/**
 * The first lines of what a test failed with; the whole stands above, in the group's own output.
 */
function excerpt(messages: readonly string[] = []): string {
  return messages
    .flatMap((message) => message.split('\n').slice(0, 12))
    .map((line) => `    ${line.slice(0, 300)}`)
    .join('\n');
}
