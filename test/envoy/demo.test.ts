import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import events from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { commandsRunBy } from '../readme-commands.ts';

// Runs the demo as users run it.

type Ended = { status: number | null; signal: NodeJS.Signals | null; out: string; err: string };
type Run = { child: ChildProcess; ended: Promise<Ended> };

const program = join(import.meta.dirname, '../../demo/cli.ts');
/**
 * A run leaves traces only in this folder, or in processes that name this folder on their command
 * line.
 */
let folder: string;

// Each test takes half a minute on an idle machine.
vi.setConfig({ testTimeout: 120_000 });

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lazyscope-demo-'));
});

afterEach(async () => {
  await vi.waitUntil(async () => (await left()).length === 0, { timeout: 60_000 }).catch(() => {});
  expect(await left()).toEqual([]);
  await rm(folder, { recursive: true });
});

async function left(): Promise<string[]> {
  const processes = execFileSync('ps', ['-A', '-o', 'args='], { encoding: 'utf8' }).split('\n');
  const files = (await readdir(folder)).filter((name) => name.startsWith('lazyscope-'));
  return [...files, ...processes.filter((line) => line.includes(folder))];
}

const root = join(import.meta.dirname, '../..');
const [stayingUp = '', once = ''] = commandsRunBy('demo');

/** Starts a command in its own process group, as a shell does. */
function start(command: string, args: string[], env: NodeJS.ProcessEnv = {}): Run {
  const child = spawn(command, args, {
    cwd: root,
    env: { ...process.env, TMPDIR: folder, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const ended = Promise.all([
    events.once(child, 'exit'),
    text(child.stdout),
    text(child.stderr),
  ]).then(([[status, signal], out, err]) => ({ status, signal, out, err }));
  return { child, ended };
}

const demo = (args: string[], env?: NodeJS.ProcessEnv) =>
  start(process.execPath, ['--import', 'tsx', program, ...args], env);

/** Ctrl-C in a terminal sends SIGINT to the whole foreground process group. */
const interrupt = ({ pid = 0 }: ChildProcess) => process.kill(-pid, 'SIGINT');

/** Resolves when the demo has printed this text. */
async function said(child: ChildProcess, what: string): Promise<void> {
  let out = '';
  await new Promise<void>((resolve) => {
    child.stdout?.on('data', (chunk) => {
      out += chunk;
      if (out.includes(what)) resolve();
    });
  });
}

test(`${once}: prints the figures and nothing else; the scope is a fraction, no request fails`, async () => {
  const { status, out, err } = await start('sh', ['-c', once]).ended;
  expect([status, err]).toEqual([0, '']);
  const result = JSON.parse(out);
  const figures = {
    allocatedBytes: expect.any(Number),
    physicalBytes: expect.any(Number),
    clusters: expect.any(Number),
    configBytes: expect.any(Number),
  };
  const firstCall = (strategy: string) => ({
    strategy,
    status: 200,
    milliseconds: expect.any(Number),
  });
  expect(result).toEqual({
    full: figures,
    scoped: figures,
    firstCalls: [firstCall('gateway'), firstCall('direct'), firstCall('hold')],
    requests: { sent: expect.any(Number), failed: 0 },
    seconds: expect.any(Number),
  });
  expect(result.full.clusters).toBeGreaterThan(2000);
  expect(result.scoped.clusters).toBeLessThan(50);
  expect(result.scoped.allocatedBytes / result.full.allocatedBytes).toBeLessThan(0.2);
  expect(result.scoped.configBytes / result.full.configBytes).toBeLessThan(0.1);
  expect(result.requests.sent).toBeGreaterThan(100);
});

test(`${stayingUp}: stays up and prints commands to try, which work; Ctrl-C ends it`, async () => {
  // The packages are installed. Without -o, make would install them again if a file of git were
  // newer.
  const command = stayingUp.replace('make', 'make -o node_modules');
  const { child, ended } = start('sh', ['-c', `exec ${command}`]);
  let out = '';
  child.stdout?.on('data', (chunk) => {
    out += chunk;
  });
  await vi.waitUntil(() => out.includes('Ctrl-C') && out.includes('grep -c'), { timeout: 100_000 });
  const commands = out.split('\n').flatMap((line) => / {2}(curl .*)$/.exec(line)?.[1] ?? []);
  expect(commands).toHaveLength(3);
  const [first, known, clusters] = commands.map((command) =>
    execFileSync('sh', ['-c', `${command.replace(/ +#.*/, '')} 2>/dev/null`], { encoding: 'utf8' }),
  );
  expect(JSON.parse(first ?? '')).toMatchObject({ host: 'service-999.team-19:8080', leaked: [] });
  expect(JSON.parse(known ?? '')).toMatchObject({ host: 'search.shop:8080' });
  expect(Number(clusters)).toBeGreaterThan(5);
  interrupt(child);
  expect((await ended).out).toContain('stopping');
});

/** A demo that starts only seven services. */
async function smallDemo(): Promise<Run> {
  const file = join(folder, 'services.yaml');
  const names = ['web', 'cart', 'pay', 'ship', 'find', 'rate', 'later'];
  const entries = names.map((name) => `  - {name: ${name}, namespace: shop, ports: [8080]}`);
  await writeFile(file, `services:\n${entries.join('\n')}\n`);
  const run = demo(['--services-file', file]);
  await said(run.child, 'starting a mesh of 7 services');
  return run;
}

test('Ctrl-C also ends a demo that is still starting', async () => {
  const { child, ended } = await smallDemo();
  interrupt(child);
  expect(await ended).toMatchObject({ status: 130, err: '' });
});

test('Ctrl-C that ends a process of the demo before the demo has heard of it is no failure', async () => {
  const { child, ended } = await smallDemo();
  const [backend] = await vi.waitUntil(() => {
    const pids = childrenOf(child, 'backend.ts');
    return pids.length > 0 && pids;
  });
  process.kill(backend as number, 'SIGINT');
  await vi.waitUntil(() => !existsSync(`/proc/${backend}`));
  interrupt(child);
  expect(await ended).toMatchObject({ status: 130, err: '' });
});

function childrenOf({ pid = 0 }: ChildProcess, what: string): number[] {
  const lines = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,args='], { encoding: 'utf8' });
  return lines.split('\n').flatMap((line) => {
    const [own, parent, ...args] = line.trim().split(/\s+/);
    return Number(parent) === pid && args.some((arg) => arg.endsWith(what)) ? Number(own) : [];
  });
}

test('a demo that is killed leaves nothing behind', async () => {
  const { child, ended } = demo(['--services', '20']);
  await said(child, 'up:');
  child.kill('SIGKILL');
  expect(await ended).toMatchObject({ signal: 'SIGKILL' });
});

test('the demo names an Envoy that ended, with its last lines', async () => {
  const { child, ended } = demo(['--services', '20']);
  await said(child, 'up:');
  const processes = execFileSync('ps', ['-A', '-o', 'pid=,args='], { encoding: 'utf8' }).split(
    '\n',
  );
  const envoy = processes.find(
    (line) => line.includes(`${folder}/`) && /scoped\/bootstrap/.test(line),
  );
  process.kill(Number.parseInt(envoy ?? '', 10), 'SIGKILL');
  const { status, err } = await ended;
  expect(status).toBe(1);
  expect(err).toMatch(/^demo: Envoy scoped: ended by SIGKILL\. .*\n( {2}.*\n)+If you .*\n$/);
});

test('a bad services file is refused with line, field and reason', async () => {
  const file = join(folder, 'services.yaml');
  await writeFile(file, 'services:\n  - name: a\n    namespace: b\n    ports: [80, x]\n');
  const { status, err } = await demo(['--services-file', file]).ended;
  expect([status, err]).toEqual([
    64,
    `demo: ${file}:4: services[0].ports[1]: x is not a port (1 to 65535)\n`,
  ]);
});

test('if Envoy cannot be fetched, the demo names the missing part', async () => {
  const env = { LAZYSCOPE_CACHE: join(folder, 'cache'), PATH: '/nowhere' };
  const { status, err } = await demo(['--services', '20', '--once', '--json'], env).ended;
  expect(status).toBe(1);
  expect(err).toContain(
    'demo: Envoy 1.40.0 cannot be fetched: python3 is missing: install Python 3',
  );
});
