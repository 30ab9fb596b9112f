import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect } from 'vitest';
import { type Cgroup, createCgroup, spawnIn } from '../../box/bypass/cgroup.ts';
import { kernelBugLines, leftovers } from '../../box/bypass/leftovers.ts';
import { loaderPath, repoDir } from '../../box/paths.ts';

const uid = 'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee';
const levels = ['kubepods', 'kubepods/besteffort', `kubepods/besteffort/pod${uid}`];

/** A node with one pod's cgroup. A test may start the companion of the node. */
export type NodeAgent = {
  /** The cgroup of `podObject`. */
  pod: string;
  /** A folder for the test, which also receives `features`. */
  folder: string;
  pid: number;
  /** The companion's writes to the API server: one JSON object for each line. */
  lines: string[];
  start(loader?: string): void;
  /** Sends the companion an object of the API server, or the command `metrics`. */
  tell(object: object | string): void;
  /** Waits until the Node reports the state, and returns the annotations of the Node. */
  state(name: RegExp): Promise<Record<string, string>>;
  metrics(): Promise<string>;
  loaderPid(): number;
  /** Resolves when the companion has ended. */
  ended(): Promise<unknown>;
};

export const nodeObject = (labels: object) => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'a', labels },
});
export const podObject = {
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

/** Makes a node for each test. After the test nothing of the node may be left in the kernel. */
export function useNodeAgent(): NodeAgent {
  let node: Cgroup;
  let own: Cgroup;
  let companion: ChildProcessWithoutNullStreams;
  let complaints: string[];
  const agent = {} as NodeAgent;

  beforeEach(async () => {
    complaints = await kernelBugLines();
    node = await createCgroup();
    own = await createCgroup();
    for (const level of levels) mkdirSync(join(node.path, level));
    agent.pod = join(node.path, levels.at(-1) ?? '');
    agent.folder = mkdtempSync(join(tmpdir(), 'lazyscope-bypass-'));
    agent.lines = [];
  });
  afterEach(async () => {
    companion.stdin.end();
    await agent.ended();
    for (const level of levels.toReversed()) rmdirSync(join(node.path, level));
    await node.remove();
    await own.remove();
    rmSync(agent.folder, { recursive: true });
    expect(await leftovers()).toEqual([]);
    expect(await kernelBugLines()).toEqual(complaints);
  });

  agent.start = (loader = loaderPath) => {
    const settings = {
      'node-name': 'a',
      loader,
      cgroups: node.path,
      'feature-file': join(agent.folder, 'features'),
    };
    const flags = Object.entries(settings).map(([name, value]) => `--${name}=${value}`);
    const tsx = join(repoDir, 'node_modules/tsx/dist/esm/index.mjs');
    const script = join(import.meta.dirname, 'companion-process.ts');
    companion = spawnIn(own.path, [process.execPath, '--import', tsx, script, ...flags]);
    agent.pid = companion.pid ?? 0;
    companion.stdin.on('error', () => {});
    companion.stderr.on('data', (chunk) => console.error(String(chunk)));
    createInterface({ input: companion.stdout }).on('line', (line) => agent.lines.push(line));
  };
  agent.ended = async () => {
    if (companion.exitCode === null && companion.signalCode === null)
      await once(companion, 'close');
  };
  agent.tell = (object) =>
    companion.stdin.write(`${typeof object === 'string' ? object : JSON.stringify(object)}\n`);
  agent.state = async (name) => {
    for (;;) {
      const last = agent.lines.filter((line) => line.startsWith('{"applied"')).at(-1);
      const { annotations } = last ? JSON.parse(last).applied.metadata : { annotations: {} };
      if (name.test(annotations['lazyscope.io/bypass-state'] ?? '')) return annotations;
      await sleep(50);
    }
  };
  agent.metrics = async () => {
    const before = agent.lines.length;
    agent.tell('metrics');
    for (;;) {
      const line = agent.lines.slice(before).find((each) => each.startsWith('{"metrics"'));
      if (line) return JSON.parse(line).metrics;
      await sleep(20);
    }
  };
  agent.loaderPid = () => {
    const children = readFileSync(`/proc/${agent.pid}/task/${agent.pid}/children`, 'utf8');
    const pids = children.trim().split(' ').map(Number);
    const found = pids.find((pid) =>
      readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('lazysc'),
    );
    if (found === undefined) throw new Error('the companion has no loader');
    return found;
  };
  return agent;
}
