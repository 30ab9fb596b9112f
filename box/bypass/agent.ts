import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { spawnIn } from './cgroup.ts';

/** A process that holds sockets and runs commands on them; see sockets.py. */
export type Agent = {
  readonly pid: number;
  /** The answer; `error` in it is the name of an errno value. */
  do(command: string, options?: object): Promise<Answer>;
  stop(): Promise<void>;
};

export type Answer = {
  id: number;
  port: number;
  client: number;
  server: number;
  n: number;
  text: string;
  events: string[];
  same: boolean[];
  wrong: number;
  /** Of a transfer that was kept: where what arrived differs from what was sent. */
  differences: object[];
  error: string;
};

const script = join(import.meta.dirname, 'sockets.py');

export async function startAgent(cgroup: string, netns?: number): Promise<Agent> {
  const child = spawnIn(cgroup, ['python3', '-u', script], netns);
  const waiting: ((line: string | undefined) => void)[] = [];
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  child.stdin.on('error', () => {});
  createInterface({ input: child.stdout }).on('line', (line) => waiting.shift()?.(line));
  const ended = once(child, 'close').then(() => {
    for (const resolve of waiting.splice(0)) resolve(undefined);
  });
  return {
    pid: child.pid ?? 0,
    async do(command, options = {}) {
      const line = await new Promise<string | undefined>((resolve) => {
        waiting.push(resolve);
        child.stdin.write(`${JSON.stringify({ do: command, ...options })}\n`);
      });
      if (line === undefined) throw new Error(`the agent ended: ${stderr}`);
      return JSON.parse(line) as Answer;
    },
    async stop() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
