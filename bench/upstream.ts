import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { freePort } from '../box/api/free-port.ts';
import { run } from '../box/run.ts';

/** The test application on this machine, as a server and as a source of load. */
export type Upstream = { port: number; stop(): Promise<void> };

const startMs = 10_000;

export async function startUpstream(app: string): Promise<Upstream> {
  const port = await freePort();
  const args = ['serve', '--name', 'upstream', '--http', `127.0.0.1:${port}`];
  const child = spawn(app, args, { stdio: 'ignore' });
  const exited = once(child, 'exit');
  const stop = async () => {
    child.kill();
    await exited;
  };
  const deadline = Date.now() + startMs;
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => undefined);
    if (answer?.ok) return { port, stop };
    if (Date.now() > deadline || child.exitCode !== null) {
      await stop();
      throw new Error('the test application does not serve');
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export type LoadOptions = { host: string; rps: number; connections: number; seconds: number };
type Loaded = { sent: number; failed: number };

/** Sends requests at a fixed rate for a duration; only status 200 is a success. */
export async function loadOf(app: string, url: string, load: LoadOptions): Promise<Loaded> {
  const rate = ['--rps', String(load.rps), '--connections', String(load.connections)];
  const rest = ['--duration', `${load.seconds}s`, '--host', load.host, '--ok-status', '200'];
  return JSON.parse(await run(app, ['load', ...rate, ...rest, url])) as Loaded;
}
