import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repoDir } from '../box/paths.ts';
import { measuredTable, type Results } from './measured.ts';
import { barsOf, pictureOf } from './picture.ts';
import type { Result } from './result.ts';

/**
 * Updates the README from bench/results: its table of measured results, and its picture.
 * `npm run -s bench:readme`
 */

const marks = ['<!-- measured: npm run -s bench:readme -->', '<!-- end of measured -->'] as const;

export type Derived = { readme: string; picture: string | undefined };
export const picturePath = 'docs/memory.svg';

/** The README and its picture as they should be; no picture without a result of `memory`. */
export function derive(readme: string): Derived {
  const results = readResults();
  const [from, to] = marks.map((mark) => readme.indexOf(mark));
  if (from === undefined || to === undefined || from < 0 || to < from) {
    throw new Error(`README.md needs the lines ${marks.join(' and ')} in this order`);
  }
  const start = from + marks[0].length;
  const table = `\n${measuredTable(results)}\n`;
  const { memory } = results;
  return {
    readme: readme.slice(0, start) + table + readme.slice(to),
    picture: memory && pictureOf(barsOf(memory), captionOf(memory)),
  };
}

function captionOf({ machine }: Result): string {
  const istio = /^v0\.0\.0-/.test(machine.istio) ? '1.32-dev' : machine.istio;
  return `Allocated by Envoy ${machine.envoy} under Istio ${istio}, two ports a service, the filter loaded in the scoped one`;
}

function readResults(): Results {
  const names = [
    ...['memory', 'activation', 'first-call', 'filter', 'enable'],
    ...['istiod', 'scale', 'ingest', 'bypass'],
  ];
  return Object.fromEntries(
    names.map((name) => {
      const path = join(repoDir, 'bench', 'results', `${name}.json`);
      return [
        name,
        existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Result) : undefined,
      ];
    }),
  );
}

if (process.argv[1]?.endsWith('bench/readme.ts')) {
  const path = join(repoDir, 'README.md');
  const { readme, picture } = derive(readFileSync(path, 'utf8'));
  writeFileSync(path, readme);
  if (picture) writeFileSync(join(repoDir, picturePath), picture);
}
