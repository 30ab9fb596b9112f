import { type DestinationStream, type Logger, pino } from 'pino';

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** Fields that may hold a credential; whoever logs a whole object by mistake leaks none. */
const secrets = ['token', 'authorization', '*.token', '*.authorization', 'headers.authorization'];

/** One JSON object a line: constant messages, everything that varies in fields. */
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
