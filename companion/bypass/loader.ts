import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { z } from 'zod';

/** After these timeouts the loader counts as stuck: verifying the programs takes milliseconds. */
const answerMs = 10_000;
/** The self-test moves 128 MiB, and waits two seconds for data that does not arrive. */
const selftestMs = 60_000;
/** The last output of a loader that died, for the log. */
const stderrMax = 4096;

const hop = z.object({
  redirectedMessages: z.number(),
  redirectedBytes: z.number(),
  stackMessages: z.number(),
  stackBytes: z.number(),
});

const statsSchema = z.object({
  on: z.boolean(),
  cgroups: z.number(),
  sockets: z.number(),
  arrived: z.number(),
  connections: z.number(),
  expected: z.number(),
  waiting: z.number(),
  swept: z.number(),
  unreadMax: z.number(),
  counters: z.record(z.string(), z.number()),
  hops: z.object({ other: hop, outbound: hop, inbound: hop }),
});
const policySchema = z.object({
  refused: z.array(z.object({ cgroup: z.string(), reason: z.string(), error: z.string() })),
  cgroups: z.number(),
});
const answerSchemas = {
  probe: z.object({ kernel: z.string(), architecture: z.string(), btf: z.boolean() }),
  start: policySchema,
  policy: policySchema,
  selftest: z.object({ checks: z.record(z.string(), z.string()), passed: z.boolean() }),
  stats: statsSchema,
  off: z.object({}),
  drain: z.object({ connections: z.number() }),
};

type Command = keyof typeof answerSchemas;
type Answers = { [Name in Command]: z.infer<(typeof answerSchemas)[Name]> };
export type Stats = Answers['stats'];
export type SelfTest = Answers['selftest'];
export type PolicyAnswer = Answers['policy'];

/** The options of `start` and `policy`; bpf/README.md has the defaults. */
export type LoaderPolicy = {
  /** Folders of cgroup v2; if absent, the attached cgroups stay attached. */
  cgroups?: string[];
  ports?: number[];
  onlyPorts?: boolean;
  redirect?: boolean;
  byteLimit?: number;
  messageLimit?: number;
  streamLimit?: number;
  streamBytes?: number;
  streamSeconds?: number;
};

/** The loader refused; `error` is the name of an errno value if the kernel returned one. */
export class LoaderRefusal extends Error {
  readonly error: string | undefined;
  constructor(command: string, reason: string, error?: string) {
    super(`${command}: ${reason.trim()}${error ? ` (${error})` : ''}`);
    this.name = 'LoaderRefusal';
    this.error = error;
  }
}

/** A running loader. Requests are answered in order; after its end every request is rejected. */
export type Loader = {
  readonly pid: number;
  probe(options?: { logLevel?: number }): Promise<Answers['probe']>;
  /**
   * Tests the kernel on the loader's own sockets, before `start`; the cgroup is the loader's own
   * too.
   */
  selftest(cgroup: string): Promise<SelfTest>;
  start(policy: LoaderPolicy & { connections?: number }): Promise<PolicyAnswer>;
  policy(policy: LoaderPolicy): Promise<PolicyAnswer>;
  stats(): Promise<Stats>;
  /**
   * New connections stay on the stack; open connections return to it once they have no unread data.
   */
  off(): Promise<void>;
  /** Sends `off`, waits at most this long for the last connection, and ends the loader. */
  drain(seconds: number): Promise<{ connections: number }>;
  /** Closes the loader's input, so that it switches off and exits; kills it if it does not exit. */
  close(): Promise<void>;
  /** The reason for its end, once it has ended. */
  readonly ended: Promise<string>;
};

type Waiting = {
  resolve(line: string): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
};

/** Starts the loader at `path`; throws if there is no such program. Only this file spawns it. */
export async function startLoader(path: string): Promise<Loader> {
  const child = spawn(path, [], { stdio: ['pipe', 'pipe', 'pipe'], env: {} });
  await once(child, 'spawn');
  const waiting: Waiting[] = [];
  let stderr = '';
  let over: string | undefined;
  child.stderr.on('data', (chunk) => {
    stderr = (stderr + chunk).slice(-stderrMax);
  });
  // A write to a loader that has just died; `exit` reports its end.
  child.stdin.on('error', () => {});
  createInterface({ input: child.stdout }).on('line', (line) => {
    const first = waiting.shift();
    clearTimeout(first?.timer);
    first?.resolve(line);
  });
  const ended = new Promise<string>((resolve) => {
    child.on('close', (code, signal) => {
      over = `the loader ended (${signal ?? `status ${code}`}) ${stderr.trim()}`.trim();
      for (const { reject, timer } of waiting.splice(0)) {
        clearTimeout(timer);
        reject(new Error(over));
      }
      resolve(over);
    });
  });

  const request = async <Name extends Command>(
    cmd: Name,
    options: object = {},
    timeoutMs = answerMs,
  ): Promise<Answers[Name]> => {
    if (over !== undefined) throw new Error(over);
    const line = await new Promise<string>((resolve, reject) => {
      // Answers have no numbers, so a late answer would be taken for the next one: end the loader.
      const timer = setTimeout(() => {
        reject(new Error(`${cmd}: no answer within ${timeoutMs} ms`));
        child.kill('SIGKILL');
      }, timeoutMs);
      waiting.push({ resolve, reject, timer });
      child.stdin.write(`${JSON.stringify({ cmd, ...options })}\n`);
    });
    return readAnswer(cmd, line);
  };

  return {
    pid: child.pid ?? 0,
    probe: (options) => request('probe', options),
    selftest: (cgroup) => request('selftest', { cgroups: [cgroup] }, selftestMs),
    start: (policy) => request('start', policy),
    policy: (policy) => request('policy', policy),
    stats: () => request('stats'),
    off: async () => void (await request('off')),
    drain: (seconds) => request('drain', { seconds }, answerMs + seconds * 1000),
    async close() {
      child.stdin.end();
      const timer = setTimeout(() => child.kill('SIGKILL'), answerMs);
      await ended;
      clearTimeout(timer);
    },
    ended,
  };
}

/** Parses a line of the loader; throws the refusal in it, or the fault in the line. */
export function readAnswer<Name extends Command>(cmd: Name, line: string): Answers[Name] {
  const refusal = z.object({ reason: z.string(), error: z.string().optional() });
  const answer = z.object({ ok: z.boolean(), cmd: z.string() }).loose().parse(JSON.parse(line));
  if (!answer.ok) {
    const { reason, error } = refusal.parse(answer);
    throw new LoaderRefusal(cmd, reason, error);
  }
  return answerSchemas[cmd].parse(answer) as Answers[Name];
}
