import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { missingPrerequisites } from '../box/prerequisites.ts';
import { ensureEnvoy } from '../embedded/envoy-binary.ts';
import { missingForBypass } from './bypass/prerequisites.ts';

/** `npm test`: every group in turn; what cannot run here is said at the end, and fails where CI=true. */
type Group = { name: string; command: string[]; cwd?: string; needs?: () => Promise<string[]> };

const reports = mkdtempSync(join(tmpdir(), 'lazyscope-test-'));
const reportOf = (name: string) => join(reports, `${name}.json`);

function vitest(name: string, needs?: Group['needs'], more: string[] = []): Group {
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile=${reportOf(name)}`];
  const command = ['npx', 'vitest', 'run', '--project', name, ...more, ...reporters];
  return { name, command, ...(needs ? { needs } : {}) };
}

const meshNeeds = async () => missingPrerequisites();
const goNeeds = async () => missingPrerequisites().filter((line) => line.startsWith('Go '));
const envoyNeeds = async () => {
  try {
    await ensureEnvoy();
    return [];
  } catch (error) {
    return [(error as Error).message];
  }
};

const bypassNeeds = async () => [
  ...missingForBypass(),
  ...(await goNeeds()),
  ...(await envoyNeeds()),
];

const groups: Group[] = [
  { name: 'check', command: ['npm', 'run', '-s', 'check'] },
  { name: 'build', command: ['npm', 'run', '-s', 'build'] },
  vitest('unit'),
  // Its time is given, so that it passes for two targets at once; by default two cores have one worker.
  vitest('fuzz', undefined, ['--maxWorkers=2']),
  vitest('wasm'),
  vitest('envoy', envoyNeeds),
  { name: 'bpf', command: ['make', '-C', 'bpf'], needs: async () => missingForBypass() },
  vitest('bypass', bypassNeeds),
  { name: 'app', command: ['go', 'test', './...'], cwd: 'box/app', needs: goNeeds },
  // Most of its time it waits for leases and time-outs.
  vitest('api', goNeeds, ['--maxWorkers=2']),
  vitest('mesh-lifecycle', meshNeeds),
  vitest('mesh', meshNeeds),
  vitest('product', async () => missingPrerequisites('product')),
  vitest('safety', async () => missingPrerequisites('product')),
  vitest('matrix', async () => missingPrerequisites('product')),
  vitest('faults', async () => missingPrerequisites('product')),
];

type Outcome = {
  name: string;
  seconds: number;
  passed: number;
  failed: number;
  missing: string[];
  failures: string[];
};

async function runGroup(group: Group): Promise<Outcome> {
  const started = Date.now();
  const missing = (await group.needs?.()) ?? [];
  const outcome = { name: group.name, passed: 0, failed: 0, missing, failures: [] };
  if (missing.length === 0) {
    console.log(`\n=== ${group.name}: ${group.command.slice(0, 5).join(' ')}`);
    const [command = '', ...args] = group.command;
    const code = await new Promise<number>((resolve) => {
      const child = spawn(command, args, { stdio: 'inherit', cwd: group.cwd ?? '.' });
      child.on('error', () => resolve(1));
      child.on('exit', (status) => resolve(status ?? 1));
    });
    Object.assign(outcome, counts(group.name, code));
  }
  return { ...outcome, seconds: Math.round((Date.now() - started) / 1000) };
}

/** Tests of a vitest group; any other group counts as one. */
function counts(name: string, code: number): Pick<Outcome, 'passed' | 'failed' | 'failures'> {
  try {
    const report: Report = JSON.parse(readFileSync(reportOf(name), 'utf8'));
    const failed = report.numFailedTests + report.numPendingTests;
    return {
      passed: report.numPassedTests,
      // A group can fail outside of a test: in its set-up, or because it found no test.
      failed: code !== 0 && failed === 0 ? 1 : failed,
      failures: report.testResults.flatMap(failuresOf),
    };
  } catch {
    const passed = code === 0 ? 1 : 0;
    return { passed, failed: 1 - passed, failures: [] };
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

/** The first lines of what a test failed with; the whole stands above, in the group's own output. */
function excerpt(messages: readonly string[] = []): string {
  return messages
    .flatMap((message) => message.split('\n').slice(0, 12))
    .map((line) => `    ${line.slice(0, 300)}`)
    .join('\n');
}

const outcomes: Outcome[] = [];
for (const group of groups) outcomes.push(await runGroup(group));
rmSync(reports, { recursive: true });

console.log('\n=== summary');
for (const { name, seconds, passed, failed, missing } of outcomes) {
  const result = missing.length > 0 ? 'DID NOT RUN' : `${passed} passed, ${failed} failed`;
  console.log(`${name.padEnd(16)}${String(seconds).padStart(5)} s  ${result}`);
}
const notRun = outcomes.filter((outcome) => outcome.missing.length > 0);
for (const { name, missing } of notRun)
  console.log(`\nDID NOT RUN: ${name}, because\n- ${missing.join('\n- ')}`);
for (const { name, failures } of outcomes)
  for (const failure of failures) console.log(`\nFAILED: ${name}: ${failure}`);
const sum = (key: 'passed' | 'failed') => outcomes.reduce((total, o) => total + o[key], 0);
const skippedInCi = process.env.CI === 'true' ? notRun.length : 0;
console.log(`\n${sum('passed')} passed, ${sum('failed') + skippedInCi} failed`);
process.exit(sum('failed') + skippedInCi > 0 ? 1 : 0);
