import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, test } from 'vitest';

test('a process whose log nobody reads, as with a full disk, continues without the log', async () => {
  const script = join(import.meta.dirname, 'flood-log.ts');
  const child = spawn(process.execPath, ['--import', 'tsx', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  try {
    const [said] = await once(child.stderr, 'data');
    expect(String(said)).toBe('alive, dropped true\n');
  } finally {
    child.kill('SIGKILL');
  }
}, 30_000);
