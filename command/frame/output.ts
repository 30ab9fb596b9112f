import { styleText } from 'node:util';
import { stringify } from 'yaml';
import type { Paint, Tone } from '../core/table.ts';
import { CommandError, exitCodes } from './failure.ts';

/** The only access to standard output and standard error. */
export type Output = {
  /** Standard output. */
  write(text: string): void;
  /** Standard error, for what is no result. */
  warn(text: string): void;
  paint: Paint;
  /** Whether standard output is a terminal, which may be drawn anew. */
  isTerminal: boolean;
};

export const formats = ['table', 'wide', 'json', 'yaml', 'sarif', 'junit'] as const;
export type Format = (typeof formats)[number];

/** The result of a verb: `data` is what programs read, `text` what people read. */
export type Result = {
  data: unknown;
  text(view: { wide: boolean; paint: Paint }): string;
  /** The forms of pipelines; most verbs have none. */
  reports?: Record<'sarif' | 'junit', () => string>;
};

export function show(out: Output, format: Format, { data, text, reports }: Result): void {
  if (format === 'sarif' || format === 'junit') {
    const remedy = 'ask for json or yaml; `doctor` has this form';
    if (!reports)
      throw new CommandError(`-o ${format}: not a form of this output`, remedy, exitCodes.usage);
    out.write(reports[format]());
  } else if (format === 'json') out.write(`${JSON.stringify(data, null, 2)}\n`);
  else if (format === 'yaml') out.write(stringify(data, { lineWidth: 0 }));
  else out.write(text({ wide: format === 'wide', paint: out.paint }));
}

type Streams = Pick<NodeJS.Process, 'stdout' | 'stderr' | 'env'>;

/** Colours only where a person looks: a terminal, and no `NO_COLOR` (no-color.org). */
export function processOutput({ stdout, stderr, env }: Streams): Output {
  // The reader of a pipe may end first, as `head` does.
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  const hasColours = stdout.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb';
  return {
    isTerminal: stdout.isTTY === true,
    write: (text) => void stdout.write(text),
    warn: (text) => void stderr.write(text),
    paint: (text, tone) => (hasColours ? styleText(styles[tone], text) : text),
  };
}

const styles = {
  good: 'green',
  warn: 'yellow',
  bad: 'red',
  faint: 'dim',
} as const satisfies Record<Tone, string>;
