import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isCollection, parseAllDocuments } from 'yaml';
import { repoDir } from '../paths.ts';
import { lastLines } from '../run.ts';
import type { ApiServer } from './api-server.ts';
import { freePort } from './free-port.ts';

/** The built companion as a separate process, started as the image starts it. */
export type CompanionProcess = {
  pid: number;
  log(): string;
  /** Sum of the samples of a metric, by its whole name. */
  metric(name: string): Promise<number>;
  /** Everything at /metrics, as Prometheus reads it. */
  metrics(): Promise<string>;
  /** Stops the process as the kubelet does. */
  stop(): Promise<void>;
  signal(name: NodeJS.Signals): void;
};

type Role = 'node' | 'controller';

const readyMs = 120_000;
const logBytesMax = 1 << 20;

/**
 * Settings are flags without the dashes; `nodeFlags` are flags of Node.js. Returns when the process
 * is ready.
 */
export async function startCompanionProcess(
  role: Role,
  api: Pick<ApiServer, 'environment' | 'account'>,
  ownSettings: Record<string, string>,
  nodeFlags: string[] = [],
): Promise<CompanionProcess> {
  const app = await layOut();
  const settings = { ...ownSettings, 'service-account-path': api.account };
  const adminPort = await freePort();
  const flags = Object.entries({ ...settings, 'admin-port': String(adminPort) });
  const { command, memoryLimit } = await containerOf(role);
  const [, ...options] = command;
  const child = spawn(
    process.execPath,
    [
      // Node.js gives the old generation half of a container's memory.
      ...(memoryLimit ? [`--max-old-space-size=${Math.floor(memoryLimit / 2)}`] : []),
      ...nodeFlags,
      ...options.map((option) => option.replace(/^\/app\//, `${app}/`)),
      role,
      ...flags.map(([flag, value]) => `--${flag}=${value}`),
    ],
    {
      env: { PATH: process.env.PATH, NODE_ENV: 'production', ...api.environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let log = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => (log = (log + chunk).slice(-logBytesMax)));
  const exited = once(child, 'exit');
  const stop = async () => {
    child.kill('SIGTERM');
    await exited;
    // Others may clean the folder of temporary files; that ends no run of many minutes.
    await rm(app, { recursive: true, force: true });
  };
  const url = (path: string) => `http://127.0.0.1:${adminPort}${path}`;
  const deadline = Date.now() + readyMs;
  while (!(await fetch(url('/readyz')).catch(() => undefined))?.ok) {
    if (Date.now() > deadline || child.exitCode !== null) {
      await stop();
      throw new Error(`the ${role} is not ready:\n${lastLines(log, 15)}`);
    }
    await sleep(20);
  }
  const metrics = async () => (await fetch(url('/metrics'))).text();
  return {
    pid: child.pid ?? 0,
    log: () => log,
    metrics,
    metric: async (name) => {
      const text = await metrics();
      const samples = text.split('\n').filter((line) => new RegExp(`^${name}[{ ]`).test(line));
      return samples.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
    },
    stop,
    signal: (name) => void child.kill(name),
  };
}

type Container = { command?: string[]; resources?: { limits?: { memory?: string } } };

/**
 * The command of the role in the manifests, or else the entry point of the image; and the limit of
 * memory in MiB, if there is one.
 */
async function containerOf(role: Role): Promise<{ command: string[]; memoryLimit: number }> {
  const text = await readFile(join(repoDir, 'manifests', 'base', `${role}.yaml`), 'utf8');
  let found: Container = {};
  for (const document of parseAllDocuments(text)) {
    const containers = document.getIn(['spec', 'template', 'spec', 'containers']);
    const [first] = isCollection(containers) ? (containers.toJSON() as Container[]) : [];
    found = first ?? found;
  }
  const { command = ['node', '/app/companion/main.js'], resources } = found;
  const limit = /^(\d+)Mi$/.exec(resources?.limits?.memory ?? '')?.[1];
  return { command, memoryLimit: Number(limit ?? 0) };
}

/** The folder /app of the image (Dockerfile), with the modules of this checkout. */
async function layOut(): Promise<string> {
  const app = await mkdtemp(join(tmpdir(), 'lazyscope-app-'));
  await cp(join(repoDir, 'build', 'companion'), join(app, 'companion'), { recursive: true });
  const proto = join('companion', 'contract', 'companion.proto');
  await cp(join(repoDir, proto), join(app, proto));
  await cp(join(repoDir, 'package.json'), join(app, 'package.json'));
  await symlink(join(repoDir, 'node_modules'), join(app, 'node_modules'));
  return app;
}
