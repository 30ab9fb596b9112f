import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { KeyPair } from '../companion/controller/nodes/x509.ts';
import type { BackendKeys } from './backend.ts';
import type { Reaper } from './reaper.ts';

export type Backend = {
  port: number;
  pid: number;
  /** Resolves with the cause if the process ends unexpectedly. */
  ended: Promise<string>;
  stop(): Promise<void>;
};

const program = fileURLToPath(new URL('backend.ts', import.meta.url));

/** Starts a process that answers for services under one identity. */
export async function startBackend(
  name: string,
  pair: KeyPair,
  ca: string,
  reaper: Reaper,
): Promise<Backend> {
  const file = join(reaper.folder, `${name}.json`);
  const keys: BackendKeys = { name, ...pair, ca };
  await writeFile(file, JSON.stringify(keys), { mode: 0o600 });
  const child = spawn(process.execPath, ['--import', 'tsx', program, file], {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  });
  if (child.pid !== undefined) reaper.add(child.pid);
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors = (errors + chunk).slice(-2_000);
  });
  let stopping = false;
  const exited = once(child, 'exit').then(([code, signal]) => {
    reaper.forget(child.pid);
    return signal ? `ended by ${signal}` : `ended with ${code}`;
  });
  const first = once(createInterface({ input: child.stdout }), 'line') as Promise<string[]>;
  const [line] = await Promise.race([first, exited.then(() => [])]);
  if (line === undefined) throw new Error(`${name} ${await exited}: ${errors.trim()}`);
  return {
    port: Number(line),
    pid: child.pid ?? 0,
    ended: exited.then((how) => (stopping ? new Promise<string>(() => {}) : how)),
    async stop() {
      stopping = true;
      child.stdin.end();
      child.kill('SIGTERM');
      await exited;
    },
  };
}
