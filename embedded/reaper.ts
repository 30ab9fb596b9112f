import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Makes sure that nothing is left behind, however this process ends. */
export type Reaper = {
  /** A temporary folder, which is removed with this process. */
  folder: string;
  add(pid: number): void;
  forget(pid: number | undefined): void;
  /** Ends all remaining processes and removes the folder. */
  finish(): Promise<void>;
};

/**
 * A separate shell that waits for the end of its input, which comes when this process ends, even by
 * SIGKILL. It ignores signals, so that Ctrl-C does not end it before its work.
 */
const script = `
trap '' INT TERM HUP
pids=' '
while read -r verb pid; do
  case $verb in
    add) pids="$pids$pid " ;;
    forget) case $pids in *" $pid "*) pids="\${pids%% "$pid" *} \${pids#* "$pid" }" ;; esac ;;
  esac
done
for pid in $pids; do kill -9 "$pid" 2>/dev/null; done
# What was killed may still be writing.
rm -rf "$1" 2>/dev/null || { sleep 1; rm -rf "$1"; }
`;

/** `what` is in the name of the folder. */
export async function startReaper(what = 'embedded'): Promise<Reaper> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), `lazyscope-${what}-`)));
  const child = spawn('/bin/sh', ['-c', script, 'reaper', folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  const exited = once(child, 'exit');
  // If the shell has already ended, its input is closed: ignore the error of the write.
  child.stdin.on('error', () => undefined);
  child.unref();
  const sendCommand = (line: string) => void child.stdin.write(`${line}\n`);
  return {
    folder,
    add: (pid) => sendCommand(`add ${pid}`),
    forget: (pid) => pid !== undefined && sendCommand(`forget ${pid}`),
    async finish() {
      child.ref();
      child.stdin.end();
      await exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}
