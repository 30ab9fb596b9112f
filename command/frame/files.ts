import { createReadStream } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createGunzip } from 'node:zlib';
import { lineBytesMax } from '../core/access-log.ts';
import { CommandError, exitCodes } from './failure.ts';

/** The only access to files and standard input. */

/** Reads a text line by line; `-` is standard input, and a name that ends in `.gz` is unpacked. */
export async function eachLine(file: string, line: (text: string) => void): Promise<void> {
  const raw = file === '-' ? process.stdin : createReadStream(file);
  const stream = file.endsWith('.gz') ? raw.pipe(createGunzip()) : raw;
  // An error of the file does not reach the stream that it is piped into.
  raw.on('error', (error: Error) => stream.destroy(error));
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for await (const chunk of stream) {
      const lines = `${rest}${decoder.decode(chunk as Buffer, { stream: true })}`.split('\n');
      // A line without end must not fill the memory; its beginning is enough to count it.
      rest = (lines.pop() ?? '').slice(0, lineBytesMax + 1);
      for (const text of lines) line(text.endsWith('\r') ? text.slice(0, -1) : text);
    }
  } catch (error) {
    const remedy = 'name a file that can be read, or - for standard input';
    const { message } = error as Error;
    throw new CommandError(`${file} cannot be read: ${message}`, remedy, exitCodes.data);
  }
  if (rest !== '') line(rest);
}

/** Writes a text unless the file has it already; returns what it did. */
export async function writeIfChanged(file: string, text: string): Promise<'same' | 'wrote'> {
  try {
    if ((await readFile(file, 'utf8').catch(() => undefined)) === text) return 'same';
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
    return 'wrote';
  } catch (error) {
    const remedy = 'name a folder that you may write to (--write)';
    throw new CommandError(`${file} cannot be written: ${(error as Error).message}`, remedy);
  }
}
