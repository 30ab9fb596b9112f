import { type DestinationStream, type Logger, pino } from 'pino';

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/**
 * Fields that may hold a credential. They are redacted even if a whole object is logged by mistake.
 */
const secrets = ['token', 'authorization', '*.token', '*.authorization', 'headers.authorization'];

/**
 * Bytes that wait for a slow reader of the log. Beyond that, log lines are dropped rather than
 * requests.
 */
const waitingBytesMax = 1024 * 1024;

/**
 * Milliseconds that the last lines wait for a slow reader at exit. Then they are lost, because an
 * exit that waits for a full disk would keep a failed process from its restart.
 */
const exitMs = 1_000;

/**
 * Standard output with a bound. Node.js buffers everything that a pipe does not accept, so a
 * container runtime that cannot write the log (full disk) would exhaust the memory of the process.
 */
export function openStdout(onDrop: () => void): DestinationStream {
  let exitBy = Number.POSITIVE_INFINITY;
  // This hook must come before that of pino, which writes until the reader takes everything.
  process.on('exit', () => {
    exitBy = performance.now() + exitMs;
    try {
      stdout.flushSync();
    } catch {
      stdout.destroy();
    }
  });
  const stdout = pino.destination({
    // Reading process.stdout makes a pipe non-blocking. Node.js cannot exit while a thread waits in
    // a blocking write.
    dest: process.stdout.fd,
    sync: false,
    maxLength: waitingBytesMax,
    retryEAGAIN: () => performance.now() < exitBy,
  });
  stdout.on('drop', onDrop);
  return stdout;
}

/** Logs one JSON object per line: constant messages, with all values in fields. */
export function createLog(
  role: string,
  level: LogLevel,
  destination: DestinationStream = process.stdout,
): Logger {
  return pino(
    {
      level,
      base: { role },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: secrets, censor: '[redacted]' },
    },
    destination,
  );
}
