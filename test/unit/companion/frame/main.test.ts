import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { version } from '../../../../companion/frame/version.ts';

const main = fileURLToPath(new URL('../../../../companion/main.ts', import.meta.url));
const fixture = fileURLToPath(new URL('stop-process.ts', import.meta.url));

function run(args: string[], env: Record<string, string> = {}) {
  return new Promise<{ status: number; stdout: string; stderr: string }>((resolve) => {
    const options = { env: { PATH: process.env.PATH ?? '', ...env } };
    execFile(
      process.execPath,
      ['--import', 'tsx', main, ...args],
      options,
      (error, stdout, stderr) => {
        resolve({ status: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
      },
    );
  });
}

describe('the command line', { timeout: 30_000 }, () => {
  it('prints the version of the package', async () => {
    const { stdout, status } = await run(['version']);
    const manifest = await readFile(new URL('../../../../package.json', import.meta.url), 'utf8');
    expect({ stdout, status }).toEqual({ stdout: `${version}\n`, status: 0 });
    expect(JSON.parse(manifest).version).toBe(version);
  });

  it('lists the settings of both roles with --help', async () => {
    const { stdout, status } = await run(['--help']);
    expect(status).toBe(0);
    expect(stdout).toContain('--settle-milliseconds, LAZYSCOPE_SETTLE_MILLISECONDS');
    expect(stdout).toContain('--writes-per-second, LAZYSCOPE_WRITES_PER_SECOND');
  });

  it('exits 64 with every problem when the configuration is bad', async () => {
    const { stderr, status } = await run(['node', '--port=x'], { LAZYSCOPE_LOG_LEVEL: 'loud' });
    expect(status).toBe(64);
    expect(stderr).toContain('--port="x": not a whole number');
    expect(stderr).toContain('LAZYSCOPE_LOG_LEVEL="loud"');
    expect(stderr).toContain('LAZYSCOPE_NODE_NAME="": required');
  });

  it('exits 64 for an unknown role', async () => {
    expect(await run(['nod'])).toMatchObject({
      status: 64,
      stderr: expect.stringContaining('not a role'),
    });
  });
});

describe('signals', { timeout: 30_000 }, () => {
  async function start(hookMs: number) {
    const child = spawn(process.execPath, ['--import', 'tsx', fixture, String(hookMs)]);
    await once(child.stdout, 'data');
    return child;
  }

  it('stops in order and exits 0 at the first', async () => {
    const child = await start(10);
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([0, null]);
  });

  it('exits 1 when something does not stop before the deadline', async () => {
    const child = await start(100_000);
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([1, null]);
  });

  it('exits at once at the second', async () => {
    const child = await start(100_000);
    child.kill('SIGTERM');
    await once(child.stdout, 'data');
    child.kill('SIGINT');
    expect(await once(child, 'exit')).toEqual([130, null]);
  });
});
