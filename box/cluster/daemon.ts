import { spawn } from 'node:child_process';
import { mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { logDir } from '../paths.ts';
import { lastLines } from '../run.ts';

export type Daemon = {
  name: string;
  pid: number;
  failed: Promise<never>;
  end(): void;
  /** Starts the program again after its end. */
  restart(): Daemon;
};

/**
 * The delay before a restart, like that of a service manager: a daemon that cannot start must not
 * keep the machine busy.
 */
const restartMs = 1_000;

/** The number of log lines in an error. */
const shownLines = 15;

/** Starts a program that must run as long as the box. Its output goes to `logs/NAME.log`. */
export function startDaemon(name: string, command: string, args: string[]): Daemon {
  mkdirSync(logDir, { recursive: true });
  const log = openSync(join(logDir, `${name}.log`), 'a');
  const child = spawn(command, args, { stdio: ['ignore', log, log] });
  let ended = false;
  const failed = new Promise<never>((_resolve, reject) => {
    const fail = (how: string) => {
      if (!ended) reject(new Error(`${name} ${how}; its last log lines:\n${logTail(name)}`));
    };
    child.on('error', (error) => fail(`did not start: ${error.message}`));
    child.on('exit', (code, signal) => fail(`ended (${signal ?? `exit code ${code}`})`));
  });
  // Callers that await the daemon see the failure; an unhandled rejection must not end the box.
  failed.catch(() => {});
  const end = () => {
    ended = true;
    child.kill('SIGTERM');
  };
  const restart = () => startDaemon(name, command, args);
  return { name, pid: child.pid ?? -1, failed, end, restart };
}

/** Restarts a daemon whenever it ends, while the box is up. */
export function keepRunning(daemon: Daemon): void {
  daemon.failed.catch(() => setTimeout(() => keepRunning(daemon.restart()), restartMs));
}

export function logTail(name: string): string {
  try {
    return lastLines(readFileSync(join(logDir, `${name}.log`), 'utf8'), shownLines);
  } catch {
    return '(no log)';
  }
}

/**
 * Polls until `check` is true. Fails at once if one of the daemons ends. Fails after the deadline
 * with the awaited state, the reason of the last check, and the daemons' last log lines.
 */
export async function waitReady(
  what: string,
  check: () => Promise<boolean>,
  daemons: Daemon[],
  timeoutSeconds = 60,
): Promise<void> {
  const poll = async () => {
    const deadline = Date.now() + timeoutSeconds * 1000;
    let reason = '';
    while (Date.now() < deadline) {
      try {
        if (await check()) return;
        reason = '';
      } catch (error) {
        reason = (error as Error).message;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const logs = daemons.map((daemon) => `--- ${daemon.name}\n${logTail(daemon.name)}`).join('\n');
    throw new Error(`${what} is not ready after ${timeoutSeconds} s: ${reason}\n${logs}`);
  };
  await Promise.race([poll(), ...daemons.map((daemon) => daemon.failed)]);
}
