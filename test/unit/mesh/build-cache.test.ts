import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';

const dir = mkdtempSync(join(tmpdir(), 'lazyscope-cache-'));
vi.stubEnv('LAZYSCOPE_CACHE', dir);
const { cached } = await import('../../../box/artifacts/build-cache.ts');
const quiet = () => {};

afterAll(() => rmSync(dir, { recursive: true }));

const buildOf = (text: string) => async (out: string) => writeFileSync(join(out, 'file'), text);

test('equal pins build once, and other pins build again', async () => {
  const first = await cached('thing', ['v1'], quiet, buildOf('one'));
  expect(await cached('thing', ['v1'], quiet, buildOf('two'))).toBe(first);
  expect(readFileSync(join(first, 'file'), 'utf8')).toBe('one');
  const other = await cached('thing', ['v2'], quiet, buildOf('two'));
  expect(readFileSync(join(other, 'file'), 'utf8')).toBe('two');
});

test('pins that are equal only when joined are different', async () => {
  const a = await cached('pair', ['ab', 'c'], quiet, buildOf('one'));
  expect(await cached('pair', ['a', 'bc'], quiet, buildOf('two'))).not.toBe(a);
});

test('a build that fails leaves nothing behind and names the target', async () => {
  const before = readdirSync(dir);
  const broken = cached('broken', ['v1'], quiet, async (out) => {
    writeFileSync(join(out, 'half'), '');
    throw new Error('no compiler');
  });
  await expect(broken).rejects.toThrow('could not build broken: no compiler');
  expect(readdirSync(dir)).toEqual(before);
});

test('two builders at once both get the whole result', async () => {
  const [a, b] = await Promise.all([
    cached('race', ['v1'], quiet, buildOf('same')),
    cached('race', ['v1'], quiet, buildOf('same')),
  ]);
  expect(a).toBe(b);
  expect(existsSync(join(a, 'file'))).toBe(true);
});

test('only the most recently used builds of one name are kept', async () => {
  const first = await cached('many', ['0'], quiet, buildOf('0'));
  for (const pin of ['1', '2', '3']) await cached('many', [pin], quiet, buildOf(pin));
  await cached('many', ['0'], quiet, buildOf('again'));
  await cached('many', ['4'], quiet, buildOf('4'));
  const kept = readdirSync(dir).filter((entry) => entry.startsWith('many-'));
  expect(kept).toHaveLength(4);
  expect(readFileSync(join(first, 'file'), 'utf8')).toBe('0');
});
