import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensureEnvoy } from '../../embedded/envoy-binary.ts';
import type { Bootstrap } from './bootstrap.ts';

/** A running Envoy. Ports are those that the kernel gave to the listeners, by listener name. */
export type Envoy = {
  port(listener: string): number;
  admin(path: string): Promise<string>;
  /** Values of the counters and gauges whose name matches, by name. */
  stats(filter: string): Promise<Map<string, number>>;
  log(): string;
  stop(): Promise<void>;
};

const startTimeoutMs = 30_000;

/** Starts Envoy on free ports and waits until it is ready; throws with its log when it is not. */
export async function startEnvoy(bootstrap: Bootstrap, concurrency = 1): Promise<Envoy> {
  const folder = await mkdtemp(join(tmpdir(), 'lazyscope-envoy-'));
  const configPath = join(folder, 'envoy.json');
  const adminPath = join(folder, 'admin');
  await writeFile(configPath, JSON.stringify(bootstrap));
  const child = spawn(
    await ensureEnvoy(),
    ['--config-path', configPath, '--admin-address-path', adminPath, '--use-dynamic-base-id']
      .concat(['--concurrency', String(concurrency), '--log-level', 'warning'])
      .concat(['--component-log-level', 'wasm:info', '--drain-time-s', '1']),
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let log = '';
  child.stdout.on('data', (chunk) => {
    log += chunk;
  });
  child.stderr.on('data', (chunk) => {
    log += chunk;
  });
  const exited = once(child, 'exit');
  const stop = async () => {
    child.kill('SIGKILL');
    await exited;
    await rm(folder, { recursive: true, force: true });
  };

  try {
    const address = await until(
      async () => (await readFile(adminPath, 'utf8')).trim(),
      () => child.exitCode !== null,
    );
    const admin = (path: string) => get(`http://${address}${path}`);
    await until(
      () => admin('/ready'),
      () => child.exitCode !== null,
    );
    const ports = await listenerPorts(admin);
    return {
      port: (listener) => {
        const port = ports.get(listener);
        if (port === undefined) throw new Error(`no listener ${listener}`);
        return port;
      },
      admin,
      stats: async (filter) =>
        parseStats(await admin(`/stats?filter=${encodeURIComponent(filter)}`)),
      log: () => log,
      stop,
    };
  } catch (error) {
    await stop();
    throw new Error(`Envoy did not start:\n${log}`, { cause: error });
  }
}

async function get(url: string): Promise<string> {
  const response = await fetch(url);
  const text = await response.text();
  if (!response.ok) throw new Error(`${url}: ${response.status} ${text}`);
  return text;
}

async function until<T>(attempt: () => Promise<T>, ended: () => boolean): Promise<T> {
  const deadline = Date.now() + startTimeoutMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (ended() || Date.now() > deadline) throw error;
      await sleep(20);
    }
  }
}

async function listenerPorts(
  admin: (path: string) => Promise<string>,
): Promise<Map<string, number>> {
  const listeners = JSON.parse(await admin('/listeners?format=json')) as {
    listener_statuses: {
      name: string;
      local_address: { socket_address: { port_value: number } };
    }[];
  };
  return new Map(
    listeners.listener_statuses.map((l) => [l.name, l.local_address.socket_address.port_value]),
  );
}

function parseStats(text: string): Map<string, number> {
  const stats = new Map<string, number>();
  for (const line of text.split('\n')) {
    const match = /^(.*): (\d+)$/.exec(line);
    if (match?.[1] !== undefined) stats.set(match[1], Number(match[2]));
  }
  return stats;
}
