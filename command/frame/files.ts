import { createReadStream } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { createGunzip } from 'node:zlib';
import { parse } from 'yaml';
import { lineBytesMax } from '../core/access-log.ts';
import { CommandError, exitCodes } from './failure.ts';

/** The only access to files and standard input. */

/**
 * Reads a text line by line; `-` is standard input, and a name that ends in `.gz` is unpacked. It
 * ends early, without an error, if `until` aborts.
 */
export async function eachLine(
  file: string,
  line: (text: string) => void,
  until?: AbortSignal,
): Promise<void> {
  const raw = file === '-' ? process.stdin : createReadStream(file);
  const stream = file.endsWith('.gz') ? raw.pipe(createGunzip()) : raw;
  // An error of the file does not reach the stream that it is piped into.
  raw.on('error', (error: Error) => stream.destroy(error));
  const end = () => stream.destroy();
  until?.addEventListener('abort', end);
  try {
    await eachLineOf(stream, line);
  } catch (error) {
    if (until?.aborted) return;
    const remedy = 'name a file that can be read, or - for standard input';
    const { message } = error as Error;
    throw new CommandError(`${file} cannot be read: ${message}`, remedy, exitCodes.data);
  } finally {
    until?.removeEventListener('abort', end);
  }
}

/** The lines of a stream, also of one that ends with an error; then throws that error. */
export async function eachLineOf(
  stream: AsyncIterable<unknown>,
  line: (text: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for await (const chunk of stream) {
      const lines = `${rest}${decoder.decode(chunk as Buffer, { stream: true })}`.split('\n');
      // A line without end must not fill the memory; its beginning is enough to count it.
      rest = (lines.pop() ?? '').slice(0, lineBytesMax + 1);
      for (const text of lines) line(text.endsWith('\r') ? text.slice(0, -1) : text);
    }
  } finally {
    if (rest !== '') line(rest);
  }
}

/**
 * Writes a text of YAML unless the file has the same objects already; its comments, for example
 * older counts, do not matter. Returns what it did.
 */
export async function writeIfChanged(file: string, text: string): Promise<'same' | 'wrote'> {
  try {
    const before = await readFile(file, 'utf8').catch(() => undefined);
    if (before !== undefined && isSameYaml(before, text)) return 'same';
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
    return 'wrote';
  } catch (error) {
    const remedy = 'name a folder that you may write to (--write)';
    throw new CommandError(`${file} cannot be written: ${(error as Error).message}`, remedy);
  }
}

function isSameYaml(before: string, after: string): boolean {
  try {
    return isDeepStrictEqual(parse(before), parse(after));
  } catch {
    return false;
  }
}

/** A bearer token without the end of its line. */
export async function readToken(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    const remedy = 'name a file that holds nothing but the token';
    throw new CommandError(`${file} cannot be read: ${(error as Error).message}`, remedy);
  }
}
