import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, totalmem } from 'node:os';
import { delimiter, join } from 'node:path';
import { parseArgs } from 'node:util';
import { cacheDir, stateDir } from '../box/paths.ts';
import { isOnPath } from '../box/prerequisites.ts';
import { type Group, groupsOf, recorded, recordPath } from './gate/groups.ts';
import { estimate, laneCount, runLanes } from './gate/lanes.ts';
import { endTree, type Running, startCommand } from './gate/processes.ts';
import { counts, type Outcome, timesOf } from './gate/reports.ts';
import { announcement, clock, failedTest, summaryOf } from './gate/summary.ts';

const help = `Usage: npm run test -- [--quick] [--all] [--record] [GROUP...]

Runs every group of tests, or the named groups and the groups that they need. The quick part runs first; if
it fails, nothing else runs. Groups that cannot run here are listed at the end; with CI=true they fail.

  --quick   only the quick part: types, units, the filter, and two files of real Envoy
  --all     continue when the quick part fails, as with CI=true
  --record  write the seconds of each passed group to test/groups.json

`;

/** Each lane can have a mesh of its own. */
const lanes = laneCount(totalmem());
/** Interval of the progress lines, so that the gate is never silent for longer. */
const progressMs = 30_000;
/** Exit code for a wrong command line (EX_USAGE of sysexits.h). */
const exitUsage = 64;

const inCi = process.env.CI === 'true';
const started = Date.now();
const secondsSince = (time: number) => Math.round((Date.now() - time) / 1000);
const reports = mkdtempSync(join(tmpdir(), 'lazyscope-test-'));
const outcomes: Outcome[] = [];
const running = new Map<Group, Running & { at: number }>();
/** True after the quick part has failed: the gate starts no other group. */
let stopped = false;

/** The named groups and all groups that they depend on, or every group if none is named. */
function selected(all: Group[], names: readonly string[]): Group[] {
  const wanted = new Set<string>();
  const addWithPrerequisites = (name: string) => {
    if (wanted.has(name)) return;
    wanted.add(name);
    for (const before of all.find((group) => group.name === name)?.after ?? [])
      addWithPrerequisites(before);
  };
  for (const { name } of names.length === 0 ? all : []) addWithPrerequisites(name);
  for (const name of names) {
    if (!all.some((group) => group.name === name)) {
      const known = all.map((group) => group.name).join(' ');
      console.error(`no group '${name}'; there are: ${known}\n\n${help}`);
      process.exit(exitUsage);
    }
    addWithPrerequisites(name);
  }
  return all.filter(({ name }) => wanted.has(name));
}

/**
 * The environment of a lane: the folder of its mesh, and the kubectl of the box if the PATH has
 * none.
 */
function environment(lane: number): NodeJS.ProcessEnv {
  const path = process.env.PATH ?? '';
  const cache = existsSync(cacheDir) ? readdirSync(cacheDir) : [];
  const compiled = cache
    .filter((name) => name.startsWith('kubernetes-'))
    .map((name) => join(cacheDir, name));
  return {
    ...process.env,
    PATH: [path, ...compiled].join(delimiter),
    LAZYSCOPE_MESH_DIR: lane <= 1 ? stateDir : `${stateDir}-${lane}`,
  };
}

async function runGroup(group: Group, lane: number, live: boolean): Promise<void> {
  const at = Date.now();
  const { name, command, cwd = '.' } = group;
  const missing = [...(group.needs?.() ?? []), ...((await group.fetch?.()) ?? [])];
  const outcome: Outcome = {
    name,
    seconds: 0,
    passed: 0,
    failed: 0,
    missing,
    failures: [],
    notes: [],
  };
  outcomes.push(outcome);
  if (missing.length > 0) return;
  const report = join(reports, `${name}.json`);
  const times = join(reports, `${name}.times.json`);
  const reporters = ['default', 'json', 'test/gate/file-times.ts'].map(
    (each) => `--reporter=${each}`,
  );
  const isVitest = command.includes('vitest');
  const words = isVitest ? [...command, ...reporters, `--outputFile=${report}`] : command;
  console.log(`${clock(secondsSince(started))}  ${name} starts: ${command.slice(0, 6).join(' ')}`);
  const process = startCommand(words, {
    cwd,
    env: { ...environment(lane), LAZYSCOPE_TEST_TIMES: times },
    background: group.background === true,
    onLine: (line) => {
      if (live) console.log(line);
      else if (failedTest(line)) console.log(`FAILED: ${name}: ${failedTest(line)}`);
    },
  });
  running.set(group, { ...process, at });
  const { code, lines } = await process.ended;
  running.delete(group);
  const notes = lines.flatMap((line) => (line.startsWith('gate: ') ? [line.slice(6)] : []));
  Object.assign(outcome, counts(report, code), { notes, times: timesOf(times) });
  outcome.seconds = secondsSince(at);
  if (stopped && !group.quick) {
    Object.assign(outcome, { failed: 0, failures: [], missing: ['the quick part failed'] });
    return;
  }
  if (!live) console.log(`\n=== ${name}\n${lines.join('\n')}`);
  const result = `${outcome.passed} passed, ${outcome.failed} failed`;
  console.log(`=== ${name} ended after ${outcome.seconds} s: ${result}\n`);
}

/** True if a quick group has failed or cannot run. */
const quickFailed = (groups: readonly Group[]) =>
  outcomes.some(
    ({ name, failed, missing }) =>
      groups.find((group) => group.name === name)?.quick && failed + missing.length > 0,
  );

function printProgress(): void {
  const names = [...running].map(
    ([{ name, seconds }, { at }]) => `${name} ${secondsSince(at)} of about ${seconds} s`,
  );
  if (names.length > 0) console.log(`${clock(secondsSince(started))}  at ${names.join(', ')}`);
}

/**
 * Prints the result of the quick groups after the last of them. Returns true if the other groups
 * must run.
 */
function printQuickResult(groups: readonly Group[], goOn: boolean): boolean {
  const failed = quickFailed(groups);
  const how = failed ? 'FAILED' : 'holds';
  const then = failed && !goOn ? '; the other groups do not run (with --all they do)' : '';
  console.log(`=== quick: ${how} after ${clock(secondsSince(started))} min${then}\n`);
  return !failed || goOn;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: 'boolean' },
      all: { type: 'boolean' },
      record: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  const all = groupsOf(isOnPath('kubectl'));
  if (values.help) {
    console.log(`${help}Groups: ${all.map(({ name }) => name).join(' ')}`);
    return 0;
  }
  const chosen = selected(all, positionals).filter(({ quick }) => quick || !values.quick);
  const quick = chosen.filter((group) => group.quick).map(({ name }) => name);
  // A user who names groups wants their results, even if the quick part fails.
  const goOn = inCi || values.all === true || positionals.length > 0;
  const ordered = chosen.map((group) =>
    group.quick || group.first ? group : { ...group, after: [...(group.after ?? []), ...quick] },
  );
  const lacking = ordered.flatMap((group) => {
    const missing = group.needs?.() ?? [];
    return missing.length > 0 ? [[group.name, missing] as const] : [];
  });
  const missing = new Map(lacking);
  const able = ordered.filter(({ name }) => !missing.has(name));
  const estimates = {
    quick:
      positionals.length > 0
        ? 0
        : estimate(
            able.filter((group) => group.quick),
            lanes,
          ),
    all: estimate(able, lanes),
  };
  for (const line of announcement(
    ordered.map(({ name }) => name),
    missing,
    estimates,
  ))
    console.log(line);
  const timer = setInterval(printProgress, progressMs);
  // If the user names groups, the gate prints no result of the quick part.
  const awaited = new Set(positionals.length === 0 ? quick : []);
  await runLanes(ordered, lanes, async (group, lane) => {
    if (stopped) return;
    await runGroup(group, lane, ordered.length === 1);
    if (!awaited.delete(group.name) || awaited.size > 0) return;
    stopped = !printQuickResult(ordered, goOn);
    if (stopped) for (const process of running.values()) endTree(process);
  });
  clearInterval(timer);
  return finish(values.record === true);
}

function finish(record: boolean): number {
  rmSync(reports, { recursive: true });
  const options = { seconds: secondsSince(started), missingFails: inCi };
  console.log(summaryOf(outcomes, recorded, options).join('\n'));
  if (record) {
    const passed = outcomes.filter(({ failed, missing }) => failed + missing.length === 0);
    const seconds = Object.fromEntries(passed.map((outcome) => [outcome.name, outcome.seconds]));
    writeFileSync(recordPath, `${JSON.stringify({ ...recorded, ...seconds }, null, 2)}\n`);
  }
  const isFailure = ({ failed, missing }: Outcome) => failed > 0 || (inCi && missing.length > 0);
  return outcomes.some(isFailure) ? 1 : 0;
}

main().then(
  (code) => process.exit(code),
  (error: Error) => {
    console.error(error.message);
    process.exit(exitUsage);
  },
);
