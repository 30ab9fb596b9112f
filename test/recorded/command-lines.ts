import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { logFile, type RecordingName } from './recording.ts';

/** The command lines that the documents show with their output, `$ lazyscope ...` in a block. */
export const documents = ['docs/command.md', 'README.md'] as const;

export type Shown = { document: string; line: string; output: string };

export const documentPath = (document: string) => join(import.meta.dirname, '../..', document);

export const shownLines = (): Shown[] =>
  documents.flatMap((document) =>
    [
      ...readFileSync(documentPath(document), 'utf8').matchAll(
        /^```\n\$ lazyscope (.*)\n([\s\S]*?)^```$/gm,
      ),
    ].map(([, line = '', output = '']) => ({ document, line, output })),
  );

/** Questions of the time before narrowing are answered as they were before it. */
const before = /^(check|advise|recommend)\b/;

export const recordingFor = (line: string): RecordingName =>
  before.test(line) ? 'observed' : 'narrowed';

/** The line with the path of the log that the reader is told to be in the folder. */
export const runnable = (line: string) => line.replace(/\bfrontend\.log\.gz\b/, () => logFile);
