import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { repoDir } from '../mesh/paths.ts';
import { startAgent } from './agent.ts';
import { type Cgroup, createCgroup, spawnIn } from './cgroup.ts';
import { leftovers } from './leftovers.ts';
import { loaderPath, showReads } from './rig.ts';

const uid = 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee';
const levels = ['kubepods', 'kubepods/besteffort', `kubepods/besteffort/pod${uid}`];

let node: Cgroup;
let own: Cgroup;
let folder: string;
let process_: ChildProcessWithoutNullStreams;
let lines: string[];

beforeEach(async () => {
  node = await createCgroup();
  own = await createCgroup();
  for (const level of levels) mkdirSync(join(node.path, level));
  folder = mkdtempSync(join(tmpdir(), 'lazyscope-bypass-'));
  lines = [];
});

afterEach(async () => {
  process_.stdin.end();
  if (process_.exitCode === null) await once(process_, 'close');
  for (const level of levels.toReversed()) rmdirSync(join(node.path, level));
  await node.remove();
  await own.remove();
  rmSync(folder, { recursive: true });
  expect(await leftovers()).toEqual([]);
});

function start(loader = loaderPath): void {
  const settings = {
    'node-name': 'a',
    loader,
    cgroups: node.path,
    'feature-file': join(folder, 'lazyscope'),
  };
  const flags = Object.entries(settings).map(([name, value]) => `--${name}=${value}`);
  const tsx = join(repoDir, 'node_modules/tsx/dist/esm/index.mjs');
  const script = join(import.meta.dirname, 'companion-process.ts');
  process_ = spawnIn(own.path, [process.execPath, '--import', tsx, script, ...flags]);
  process_.stderr.on('data', (chunk) => console.error(String(chunk)));
  createInterface({ input: process_.stdout }).on('line', (line) => lines.push(line));
}

const tell = (object: object | string) =>
  process_.stdin.write(`${typeof object === 'string' ? object : JSON.stringify(object)}\n`);

const nodeObject = (labels: object) => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'a', labels },
});
const pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: 'p',
    namespace: 'n',
    uid,
    annotations: { 'lazyscope.io/bypass': 'enabled' },
  },
  spec: { containers: [{ image: 'web' }] },
  status: { phase: 'Running', qosClass: 'BestEffort' },
};

/** Waits for the Node to say so, and returns its annotations. */
async function state(name: RegExp): Promise<Record<string, string>> {
  for (;;) {
    const last = lines.filter((line) => line.startsWith('{"applied"')).at(-1);
    const { annotations } = last ? JSON.parse(last).applied.metadata : { annotations: {} };
    if (name.test(annotations['lazyscope.io/bypass-state'] ?? '')) return annotations;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function metrics(): Promise<string> {
  const before = lines.length;
  tell('metrics');
  for (;;) {
    const line = lines.slice(before).find((each) => each.startsWith('{"metrics"'));
    if (line) return JSON.parse(line).metrics;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('a node and a pod that ask are served after a self-test, and let go when they do not', async () => {
  start();
  tell(nodeObject({ 'lazyscope.io/bypass': 'enabled' }));
  const ready = await state(/^ready$/);
  const report = JSON.parse(ready['lazyscope.io/bypass-report'] ?? '');
  expect(new Set(Object.values(report.selftest))).toEqual(new Set(['ok']));
  expect(Object.keys(report.selftest)).toContain('partialSend');
  expect(readFileSync(join(folder, 'lazyscope'), 'utf8')).toContain(
    'lazyscope.io/bypass-capable=true\n',
  );

  tell(pod);
  await state(/^active \(1 pods\)$/);
  const agent = await startAgent(join(node.path, levels.at(-1) ?? ''));
  await showReads(agent);
  const { client, server } = await agent.do('pair');
  await agent.do('send', { id: client, text: 'hello' });
  await agent.do('receive', { id: server, size: 5 });
  // Figures come with the next round.
  tell({ ...pod, metadata: { ...pod.metadata, labels: { changed: 'yes' } } });
  await new Promise((resolve) => setTimeout(resolve, 300));
  const text = await metrics();
  expect(text).toContain('lazyscope_bypass_state{state="active"} 1');
  expect(text).toContain('lazyscope_bypass_connections 1');
  expect(text).toContain('lazyscope_bypass_bytes_total{hop="other",path="socket"} 5');
  await agent.stop();

  tell(nodeObject({}));
  expect(await state(/^off/)).toMatchObject({
    'lazyscope.io/bypass-state': 'off (the node is not labelled)',
  });
});

/** The loader among the children of the companion. */
function loaderPid(): number {
  const children = readFileSync(`/proc/${process_.pid}/task/${process_.pid}/children`, 'utf8');
  const pids = children.trim().split(' ').map(Number);
  const found = pids.find((pid) => readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('lazysc'));
  if (found === undefined) throw new Error('the companion has no loader');
  return found;
}

test('a loader that is killed is started again', async () => {
  start();
  tell(nodeObject({ 'lazyscope.io/bypass': 'enabled' }));
  tell(pod);
  await state(/^active/);
  process.kill(loaderPid(), 'SIGKILL');
  const again = [
    'lazyscope_bypass_loader_ends_total 1',
    'lazyscope_bypass_state{state="active"} 1',
  ];
  for (;;) {
    const text = await metrics();
    if (again.every((line) => text.includes(line))) break;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  expect(loaderPid()).toBeGreaterThan(0);
});

test('what is not the loader is refused with a reason, on the Node and as an Event', async () => {
  const fake = join(folder, 'loader');
  const answer = '{"ok":false,"cmd":"probe","reason":"no permission","error":"EPERM"}';
  writeFileSync(fake, `#!/bin/sh\nread line\necho '${answer}'\nread line\n`, { mode: 0o755 });
  start(fake);
  tell(nodeObject({ 'lazyscope.io/bypass': 'enabled' }));
  await state(/^refused \(probe: no permission \(EPERM\)\)$/);
  const event = lines.find((line) => line.startsWith('{"created"'));
  expect(JSON.parse(event ?? '{}').created).toMatchObject({ reason: 'BypassRefused' });
});
