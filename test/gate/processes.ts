import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** A background command gets only the CPU time that the others leave. */
const backgroundNiceness = '19';

export type Running = {
  child: ChildProcess;
  /** The exit code, and all lines of stdout and stderr in the order of arrival. */
  ended: Promise<{ code: number; lines: string[] }>;
};

export type StartOptions = {
  cwd: string;
  env: NodeJS.ProcessEnv;
  background: boolean;
  /** Called for each line when it arrives. */
  onLine?: ((line: string) => void) | undefined;
};

/** Starts a command and keeps its output. */
export function startCommand(
  [command = '', ...args]: readonly string[],
  { cwd, env, background, onLine }: StartOptions,
): Running {
  const nice = background ? ['nice', '-n', backgroundNiceness] : [];
  const [program = '', ...words] = [...nice, command, ...args];
  const child = spawn(program, words, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const lines: string[] = [];
  for (const input of [child.stdout, child.stderr])
    createInterface({ input }).on('line', (line) => {
      lines.push(line);
      onLine?.(line);
    });
  const ended = new Promise<{ code: number; lines: string[] }>((resolve) => {
    child.on('error', (error) => resolve({ code: 1, lines: [...lines, error.message] }));
    child.on('close', (code) => resolve({ code: code ?? 1, lines }));
  });
  return { child, ended };
}

/** Ends a command and all of its descendants, which would outlive the command. */
export function endTree({ child }: Running): void {
  const table = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' });
  const children = new Map<number, number[]>();
  for (const row of table.trim().split('\n')) {
    const [pid = 0, parent = 0] = row.trim().split(/\s+/).map(Number);
    children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const tree = (pid: number): number[] => [pid, ...(children.get(pid) ?? []).flatMap(tree)];
  if (child.pid === undefined) return;
  for (const pid of tree(child.pid))
    try {
      process.kill(pid, 'SIGTERM');
    } catch {
      // The process has already ended.
    }
}
