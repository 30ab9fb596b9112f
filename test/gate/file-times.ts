import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import type { Reporter, TestModule } from 'vitest/node';

/** Where the gate wants to read the times; vitest gives a reporter no other way to be told. */
const target = process.env.LAZYSCOPE_TEST_TIMES;

/** Seconds that a group spent before its first test, and with each of its files, hooks included. */
export type FileTimes = { setUp: number; files: { name: string; seconds: number }[] };

const seconds = (ms: number) => Math.round(ms / 100) / 10;

/** Writes what vitest's JSON report leaves out. */
export default class implements Reporter {
  private readonly started = performance.now();
  private readonly times: FileTimes = { setUp: 0, files: [] };

  onTestModuleStart(): void {
    this.times.setUp ||= seconds(performance.now() - this.started);
  }

  onTestModuleEnd(module: TestModule): void {
    const { collectDuration, duration } = module.diagnostic();
    const name = relative('.', module.moduleId);
    this.times.files.push({ name, seconds: seconds(collectDuration + duration) });
    if (target !== undefined) writeFileSync(target, JSON.stringify(this.times));
  }
}
