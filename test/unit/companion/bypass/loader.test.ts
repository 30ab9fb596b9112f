import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Loader, LoaderRefusal, startLoader } from '../../../../companion/bypass/loader.ts';

// How the companion handles a faulty loader; shell scripts stand in for the loader.

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lazyscope-loader-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

let written = 0;
async function loader(...script: string[]): Promise<Loader> {
  written++;
  const path = join(folder, `loader-${written}`);
  writeFileSync(path, ['#!/bin/sh', ...script, ''].join('\n'), { mode: 0o755 });
  return startLoader(path);
}

const outcome = (promise: Promise<unknown>) =>
  promise.then(
    (value) => value,
    (error: Error) => error.message,
  );

test('a missing program is reported at once', async () => {
  expect(await outcome(startLoader(join(folder, 'none')))).toContain('ENOENT');
});

test('an invalid answer fails its request, and the next request is answered', async () => {
  const lines = ['nonsense', '', '[]', '{"ok":true,"cmd":"off","x":', '{"ok":true,"cmd":"stats"}'];
  const says = lines.map((line) => `read request; echo '${line}'`);
  const fake = await loader(
    ...says,
    `read request; echo '{"ok":true,"cmd":"drain","connections":3}'`,
  );
  for (const line of lines) {
    const request = line.includes('stats') ? fake.stats() : fake.off();
    expect({ line, rejected: typeof (await outcome(request)) }).toEqual({
      line,
      rejected: 'string',
    });
  }
  expect(await fake.drain(0)).toEqual({ connections: 3 });
  await fake.close();
});

test('a refusal has its reason and the name of the error', async () => {
  const fake = await loader(
    `read r; echo '{"ok":false,"cmd":"off","reason":"no ","error":"EPERM"}'`,
  );
  const error = await fake.off().catch((each: unknown) => each);
  expect(error).toBeInstanceOf(LoaderRefusal);
  expect(error).toMatchObject({ message: 'off: no (EPERM)', error: 'EPERM' });
  await fake.close();
});

test('after the end of a loader its open requests and all later requests are rejected, even after half an answer', async () => {
  const silent = await loader('read request; echo last words >&2; exit 3');
  const asked = [silent.stats(), silent.off()].map(outcome);
  const why = 'the loader ended (status 3) last words';
  expect(await Promise.all(asked)).toEqual([why, why]);
  expect(await outcome(silent.off())).toBe(why);
  expect(await silent.ended).toBe(why);

  const half = await loader(`read request; printf '{"ok":tr'`);
  expect(await outcome(half.off())).toContain('JSON');
  expect(await half.ended).toContain('status 0');
});

test('answers in pieces are joined, and several answers at once are matched by their order', async () => {
  const fake = await loader(
    'read a; read b',
    `printf '{"ok":true,"cm'; printf 'd":"drain","connections":1}\\n{"ok":true,"cmd":"drain","connections":2}\\n'`,
    'read c',
  );
  const both = await Promise.all([fake.drain(0), fake.drain(0)]);
  expect(both.map(({ connections }) => connections)).toEqual([1, 2]);
  await fake.close();
});
