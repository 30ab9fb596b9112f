import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { cached, hashOfTree } from '../box/artifacts/build-cache.ts';
import { repoDir } from '../box/paths.ts';
import { run } from '../box/run.ts';

/**
 * Clients in Go, for benchmarks in which the clients must need less of the machine than the server
 * that is measured. Their program prints its counters for each line of standard input.
 */
export type GoClients<Reading> = { pid: number; read(): Promise<Reading>; stop(): Promise<void> };

/** `name` is the folder of the program in bench/. */
export async function startGoClients<Reading>(
  name: string,
  args: string[],
  say: (line: string) => void,
): Promise<GoClients<Reading>> {
  const program = await ensureGoClients(name, say);
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    pid: child.pid ?? 0,
    async read() {
      child.stdin.write('\n');
      const { value, done } = await lines.next();
      if (done) throw new Error(`${name} ended with exit status ${child.exitCode}`);
      return JSON.parse(value) as Reading;
    },
    async stop() {
      const exited = once(child, 'exit');
      child.stdin.end();
      await exited;
    },
  };
}

async function ensureGoClients(name: string, say: (line: string) => void): Promise<string> {
  const cwd = join(repoDir, 'bench', name);
  const pins = [await hashOfTree(cwd), await run('go', ['env', 'GOVERSION', 'GOARCH'])];
  const dir = await cached(name, pins, say, async (out) => {
    const args = ['build', '-trimpath', '-ldflags', '-s -w', '-o', join(out, name), '.'];
    await run('go', args, { cwd, env: { ...process.env, CGO_ENABLED: '0' } });
  });
  return join(dir, name);
}
