import type { Row } from './result.ts';

/** What each benchmark is given; `quick` trades precision for time and keeps nothing. */
export type BenchOptions = { quick: boolean; say(line: string): void };

export type Bench = (options: BenchOptions) => Promise<Row[]>;
