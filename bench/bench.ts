import type { Row } from './result.ts';

/** The options of each benchmark; `quick` trades precision for time and keeps no results. */
export type BenchOptions = {
  quick: boolean;
  /** How long a soak takes. */
  minutes?: number | undefined;
  say(line: string): void;
};

export type Bench = (options: BenchOptions) => Promise<Row[]>;
