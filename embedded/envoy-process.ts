import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../companion/frame/errors.ts';
import { ensureEnvoy } from './envoy-binary.ts';
import type { Reaper } from './reaper.ts';
import type { Json } from './shipped-patches.ts';

/** A running Envoy. */
export type EnvoyProcess = {
  name: string;
  pid: number;
  adminPort: number;
  /** The body of an admin page; throws if Envoy does not answer with 200. */
  admin(path: string): Promise<string>;
  /** The last output of the process. */
  log(): string[];
  /** Resolves with the cause if the process ends unexpectedly. */
  ended: Promise<string>;
  stop(): Promise<void>;
};

export type EnvoyOptions = {
  name: string;
  bootstrap: Json;
  /** A folder that no other Envoy uses. */
  folder: string;
  concurrency: number;
  reaper: Reaper;
};

/** Twice the time of a start with 5,000 services on a busy machine. */
const startTimeoutMs = 60_000;
/** Envoy's main thread answers, and may be busy with a configuration of 10,000 clusters. */
const adminTimeoutMs = 60_000;
/** Normally Envoy ends within a second; after that it is killed. */
const stopTimeoutMs = 3_000;
/** Envoy prints a refused resource with one field per line. */
const linesKept = 1_000;

/** Starts Envoy and waits until it is ready; throws with its last log lines if it is not. */
export async function startEnvoyProcess(options: EnvoyOptions): Promise<EnvoyProcess> {
  const { name, bootstrap, folder, concurrency, reaper } = options;
  const configPath = join(folder, 'bootstrap.json');
  const adminPath = join(folder, 'admin');
  await rm(adminPath, { force: true });
  await writeFile(configPath, JSON.stringify(bootstrap));
  const child = spawn(
    await ensureEnvoy(),
    ['--config-path', configPath, '--admin-address-path', adminPath, '--disable-hot-restart']
      .concat(['--concurrency', String(concurrency), '--log-level', 'warning'])
      .concat(['--component-log-level', 'wasm:info', '--drain-time-s', '1']),
    // A separate process group, so that Ctrl-C reaches only this process, which stops Envoy in
    // order.
    { stdio: ['ignore', 'pipe', 'pipe'], detached: true },
  );
  const lines = keepLines(child);
  let stopping = false;
  const exited = new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(`did not run: ${error.message}`));
    child.on('exit', (code, signal) =>
      resolve(signal ? `ended by ${signal}` : `ended with ${code}`),
    );
  });
  if (child.pid !== undefined) reaper.add(child.pid);
  void exited.then(() => reaper.forget(child.pid));
  const isOver = exited.then((how) => (stopping ? new Promise<string>(() => {}) : how));

  const stop = async () => {
    stopping = true;
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      const ends = once(child, 'exit');
      await Promise.race([ends, sleep(stopTimeoutMs, undefined, { ref: false })]);
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL');
        await ends;
      }
    }
  };
  try {
    const adminPort = await adminPortOf(adminPath, exited);
    const admin = (path: string) => get(`http://127.0.0.1:${adminPort}${path}`);
    await until(() => admin('/ready'), exited);
    return { name, pid: child.pid ?? 0, adminPort, admin, log: () => lines, ended: isOver, stop };
  } catch (error) {
    await stop();
    throw new EnvoyError(name, messageOf(error), lines);
  }
}

/** One sentence about the end of an Envoy, with the last lines of its output. */
export class EnvoyError extends Error {
  constructor(name: string, what: string, log: readonly string[]) {
    const last = log.slice(-8).map((line) => `  ${line}`);
    super(
      [`Envoy ${name}: ${what}. Its last lines:`, ...(last.length > 0 ? last : ['  (none)'])].join(
        '\n',
      ),
    );
    this.name = 'EnvoyError';
  }
}

function keepLines(child: ChildProcess): string[] {
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    let rest = '';
    stream?.on('data', (chunk: Buffer) => {
      const parts = (rest + chunk).split('\n');
      rest = parts.pop() ?? '';
      lines.push(...parts);
      lines.splice(0, Math.max(0, lines.length - linesKept));
    });
    stream?.on('end', () => rest && lines.push(rest));
  }
  return lines;
}

async function adminPortOf(path: string, exited: Promise<string>): Promise<number> {
  const address = await until(async () => {
    const text = (await readFile(path, 'utf8')).trim();
    if (!/:\d+$/.test(text)) throw new Error('no admin address yet');
    return text;
  }, exited);
  return Number(address.split(':').at(-1));
}

async function get(url: string): Promise<string> {
  const signal = AbortSignal.timeout(adminTimeoutMs);
  const response = await fetch(url, { signal }).catch((error: Error) => {
    throw new Error(`${url} does not answer: ${messageOf(error.cause ?? error)}`);
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url} answered ${response.status} ${text.trim()}`);
  return text;
}

/** Retries until the attempt succeeds, the deadline passes or the process ends. */
async function until<Value>(
  attempt: () => Promise<Value>,
  exited: Promise<string>,
): Promise<Value> {
  const deadline = Date.now() + startTimeoutMs;
  let end: string | undefined;
  void exited.then((how) => {
    end = how;
  });
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (end !== undefined) throw new Error(end);
      if (Date.now() > deadline) {
        throw new Error(`not ready within ${startTimeoutMs / 1000} s (${messageOf(error)})`);
      }
      await sleep(20);
    }
  }
}

/** The ports that the kernel gave to the listeners, by their names. */
export async function listenerPorts({
  admin,
}: Pick<EnvoyProcess, 'admin'>): Promise<Map<string, number>> {
  const { listener_statuses: listeners = [] } = JSON.parse(
    await admin('/listeners?format=json'),
  ) as {
    listener_statuses?: {
      name: string;
      local_address: { socket_address: { port_value: number } };
    }[];
  };
  return new Map(
    listeners.map((each) => [each.name, each.local_address.socket_address.port_value]),
  );
}
