import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { cached, hashOfTree } from '../box/artifacts/build-cache.ts';
import { repoDir } from '../box/paths.ts';
import { run } from '../box/run.ts';

/** Sums over all played proxies since they began to connect (bench/xds-clients). */
export type Reading = {
  ready: number;
  ended: number;
  bytes: number;
  responses: number;
  resources: number;
};

export type XdsClients = {
  read(): Promise<Reading>;
  /** Returns when each proxy has its configuration and has received nothing for a while. */
  untilQuiet(): Promise<Reading>;
  stop(): Promise<void>;
};

/** Longer than istiod debounces changes before a push (PILOT_DEBOUNCE_MAX, 10 s by default). */
const quietMs = 12_000;
const startMs = 600_000;

export async function startXdsClients(
  istiod: string,
  count: number,
  say: (line: string) => void,
): Promise<XdsClients> {
  const program = await ensureXdsClients(say);
  const child = spawn(program, ['-istiod', istiod, '-count', String(count)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  async function read(): Promise<Reading> {
    child.stdin.write('\n');
    const { value, done } = await lines.next();
    if (done) throw new Error(`the played proxies ended with exit status ${child.exitCode}`);
    const reading = JSON.parse(value) as Reading;
    if (reading.ended > 0) throw new Error(`istiod ended ${reading.ended} of ${count} streams`);
    return reading;
  }
  async function untilQuiet(): Promise<Reading> {
    const deadline = Date.now() + startMs;
    let last = await read();
    let since = Date.now();
    while (last.ready < count || Date.now() - since < quietMs) {
      if (Date.now() > deadline)
        throw new Error(
          `only ${last.ready} of ${count} proxies were ready, or istiod never became idle`,
        );
      await sleep(500);
      const now = await read();
      if (now.responses !== last.responses) since = Date.now();
      last = now;
    }
    return last;
  }
  return {
    read,
    untilQuiet,
    async stop() {
      const exited = once(child, 'exit');
      child.stdin.end();
      await exited;
    },
  };
}

async function ensureXdsClients(say: (line: string) => void): Promise<string> {
  const cwd = join(repoDir, 'bench', 'xds-clients');
  const pins = [await hashOfTree(cwd), await run('go', ['env', 'GOVERSION', 'GOARCH'])];
  const dir = await cached('xds-clients', pins, say, async (out) => {
    const args = ['build', '-trimpath', '-ldflags', '-s -w', '-o', join(out, 'xds-clients'), '.'];
    await run('go', args, { cwd, env: { ...process.env, CGO_ENABLED: '0' } });
  });
  return join(dir, 'xds-clients');
}
