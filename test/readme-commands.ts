import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The commands of the README, and the test that runs each of them unchanged. */

/**
 * Commands of the blocks marked `sh` of a document of this repository, in order, without their
 * comments.
 */
export function commandsIn(document: string): string[] {
  const text = readFileSync(join(import.meta.dirname, '..', document), 'utf8');
  const blocks = text.matchAll(/^```sh\n([\s\S]*?)^```$/gm);
  return [...blocks].flatMap(([, block = '']) =>
    block.split('\n').flatMap((line) => line.replace(/ +# .*/, '').trim() || []),
  );
}

export const readmeCommands = () => commandsIn('README.md');

/**
 * The test files: `test/envoy/demo.test.ts`, `test/mesh/product/readme.test.ts` and
 * `test/unit/command/program.test.ts`.
 */
type Runner = 'demo' | 'cluster' | 'command';

/**
 * The beginnings of the commands that each test runs. A new command in the README must match one.
 */
const runners: Record<Runner, RegExp> = {
  demo: /^(make demo|npm run -s demo)\b/,
  command: /^npm run -s lazyscope -- /,
  cluster: /^(npm ci|docker build|helm|kubectl|manifests\/[a-z-]+\.sh) /,
};

export function runnersOf(command: string): Runner[] {
  return (Object.keys(runners) as Runner[]).filter((runner) => runners[runner].test(command));
}

export function commandsRunBy(runner: Runner): string[] {
  return readmeCommands().filter((command) => runnersOf(command).includes(runner));
}
