import { readFileSync, writeFileSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import type { Diagnosis } from '../../../command/doctor/check.ts';
import { programOf } from '../../../command/program.ts';
import {
  documentPath,
  documents,
  recordingFor,
  runnable,
  shownLines,
} from '../../recorded/command-lines.ts';
import { recordingOf } from '../../recorded/recording.ts';
import { replayed, replayedWithPage } from '../../recorded/replay.ts';
import { commandLine } from './host.ts';

/**
 * What the documents show is what the command prints for a real mesh, whose answers were recorded
 * (`npm run record:mesh`). `npm run docs:command` writes the outputs anew.
 */

const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

/** The mesh that a line is answered by, and its time. */
async function meshFor(line: string) {
  const recording = recordingOf(recordingFor(line));
  const { now } = recording;
  if (!/^(top|nodes)\b/.test(line)) return { cluster: replayed(recording), now };
  const { cluster, stop } = await replayedWithPage(recording);
  stops.push(stop);
  return { cluster, now };
}

test('each document shows outputs', () => {
  for (const document of documents)
    expect(shownLines().filter((each) => each.document === document).length).toBeGreaterThan(3);
});

test.each(shownLines())(
  '$document: $line prints what it shows',
  async ({ document, line, output }) => {
    const { cluster, now } = await meshFor(line);
    const { out } = await commandLine(runnable(line), cluster, now);
    if (process.env.LAZYSCOPE_WRITE_DOCS) {
      const path = documentPath(document);
      const block = (text: string) => `\`\`\`\n$ lazyscope ${line}\n${text}\`\`\``;
      const text = readFileSync(path, 'utf8');
      writeFileSync(
        path,
        text.replace(block(output), () => block(out)),
      );
    } else expect(out).toBe(output);
  },
);

describe('the doctor on the recorded mesh', () => {
  async function findings(name: 'observed' | 'narrowed', options = '') {
    const recording = recordingOf(name);
    const line = `doctor -o json${options}`;
    const { out } = await commandLine(line, replayed(recording), recording.now);
    return (JSON.parse(out) as { findings: Diagnosis[] }).findings;
  }

  test('no check cries before narrowing', async () => {
    expect(await findings('observed')).toEqual([]);
  });

  test('with the configuration of every narrowed proxy, only the wrong pin is found', async () => {
    const found = await findings('narrowed', ' --deep all');
    expect(found.map(({ id }) => id)).toEqual(['pin-of-nothing']);
  });
});

const described = readFileSync(documentPath('docs/command.md'), 'utf8');

test('the document describes every verb', () => {
  const host = {
    ...{ program: 'lazyscope', now: () => 0, connect: () => Promise.reject(new Error('none')) },
    interrupted: async () => undefined,
    out: {
      ...{ write: () => undefined, warn: () => undefined, paint: (each: string) => each },
      isTerminal: false,
    },
  };
  const verbs = programOf(host, () => undefined).commands.map((command) => command.name());
  const missing = verbs.filter(
    (name) =>
      !name.startsWith('__') &&
      !new RegExp(`(\`|^### |lazyscope.* )${name}\\b`, 'm').test(described),
  );
  expect(missing).toEqual([]);
});
