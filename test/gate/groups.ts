import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { missingPrerequisites } from '../../box/prerequisites.ts';
import { missingForConsole } from '../../demo/chromium.ts';
import { ensureEnvoy } from '../../embedded/envoy-binary.ts';
import { missingForBypass } from '../bypass/prerequisites.ts';
import type { Planned } from './lanes.ts';

/** A group of tests: the command, its prerequisites, and its place in the order. */
export type Group = Planned & {
  command: string[];
  cwd?: string;
  /** The group belongs to the quick part, whose result comes first. */
  quick?: boolean;
  /** The group starts together with the quick part, because other groups wait for it. */
  first?: boolean;
  /** Missing prerequisites, each as a sentence with the remedy. This check takes no time. */
  needs?: () => string[];
  /**
   * Missing prerequisites that have to be downloaded first. The gate asks when the group is about
   * to start.
   */
  fetch?: () => Promise<string[]>;
};

const recordPath = join(import.meta.dirname, '..', 'groups.json');
/** Seconds of each group in the last recorded run of the whole gate, on two cores. */
export const recorded: Record<string, number> = JSON.parse(readFileSync(recordPath, 'utf8'));
export { recordPath };

/** The assumed seconds of a group without a record. */
const unrecordedSeconds = 60;

type More = Partial<Omit<Group, 'name' | 'command' | 'seconds'>> & { args?: string[] };

function group(name: string, command: string[], { args = [], ...more }: More = {}): Group {
  const seconds = recorded[name] ?? unrecordedSeconds;
  return { name, seconds, command: [...command, ...args], ...more };
}

/**
 * Prepares things that several groups need. Otherwise each group would prepare them, two groups at
 * once.
 */
const prepare = (what: string) => ['node', '--import', 'tsx', 'box/prepare.ts', what];

const vitest = (name: string, more: More = {}, project = name) =>
  group(name, ['npx', 'vitest', 'run', '--project', project], more);

/** Two of the files that run the filter and both roles of the companion with a real Envoy. */
const firstOnEnvoy = ['test/envoy/embedded.test.ts', 'test/envoy/first-call.test.ts'];
const simulation = 'test/unit/simulation';
const manifests = 'test/unit/manifests';
const without = (...globs: string[]) => globs.flatMap((glob) => ['--exclude', glob]);

const goNeeds = () => missingPrerequisites().filter((line) => line.startsWith('Go '));
const meshNeeds = () => missingPrerequisites();
const productNeeds = () => missingPrerequisites('product');
const envoyFetch = async () => {
  try {
    await ensureEnvoy();
    return [];
  } catch (error) {
    return [(error as Error).message];
  }
};

/** Vitest uses one worker on two cores. A group that mostly waits uses this many. */
const workers = (count: number) => `--maxWorkers=${Math.max(count, availableParallelism() - 1)}`;

const compiled = ['build', 'tools'];
const onMesh = (name: string, needs = productNeeds) =>
  vitest(name, { needs, after: [...compiled, 'image'] });

/** The groups need kubectl: the one in the PATH, or the one that the box compiles. */
function kubectlNeeds(hasKubectl: boolean): More {
  const needs = () =>
    goNeeds().map((line) => `kubectl is not in the PATH, and cannot be compiled: ${line}`);
  return hasKubectl ? { quick: true } : { needs, after: ['tools'] };
}

/** Every group. Quick groups come first. Of the others, a free lane takes the longest first. */
export function groupsOf(hasKubectl: boolean): Group[] {
  return [
    group('check', ['npm', 'run', '-s', 'check'], { quick: true }),
    group('build', prepare('build'), { quick: true }),
    vitest('unit', {
      quick: true,
      args: [...without(`${simulation}/**`, `${manifests}/**`), workers(2)],
    }),
    vitest('manifests', { args: [manifests], ...kubectlNeeds(hasKubectl) }, 'unit'),
    vitest('wasm', { quick: true, after: ['build'] }),
    vitest(
      'envoy-first',
      { quick: true, after: ['build'], args: firstOnEnvoy, fetch: envoyFetch },
      'envoy',
    ),
    group('tools', prepare('tools'), { first: true, background: true, needs: goNeeds }),
    group('image', prepare('image'), {
      ...{ first: true, background: true, needs: productNeeds, after: compiled },
    }),
    group('helm', prepare('helm'), {
      ...{ first: true, background: true, needs: goNeeds, after: ['tools'] },
    }),
    // Helm may compile for minutes, so only idle time waits for it.
    vitest('charts', { background: true, needs: goNeeds, after: [...compiled, 'helm'] }),
    vitest('simulation', { args: [simulation, workers(2)], background: true }, 'unit'),
    vitest('fuzz', { background: true }),
    vitest('envoy', {
      after: ['build'],
      args: [...without(...firstOnEnvoy), workers(2)],
      fetch: envoyFetch,
    }),
    vitest('console', { needs: missingForConsole, after: ['build'] }),
    group('bpf', ['make', '-C', 'bpf'], { first: true, background: true, needs: missingForBypass }),
    vitest('bypass', {
      needs: () => [...missingForBypass(), ...goNeeds()],
      fetch: envoyFetch,
      after: [...compiled, 'bpf'],
    }),
    group('app', ['go', 'test', '-trimpath', './...'], {
      cwd: 'box/app',
      needs: goNeeds,
      after: ['tools'],
      background: true,
    }),
    // This group mostly waits for leases and timeouts.
    vitest('api', { needs: goNeeds, after: compiled, args: [workers(3)] }),
    onMesh('mesh-lifecycle'),
    onMesh('mesh', meshNeeds),
    onMesh('product'),
    onMesh('safety'),
    onMesh('matrix'),
    onMesh('faults'),
  ];
}
