import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import type { Reporter, TestModule } from 'vitest/node';

/**
 * The file to which the gate asks for the times. Vitest has no other way to pass an option to a
 * reporter.
 */
const target = process.env.LAZYSCOPE_TEST_TIMES;

/** Seconds of a group before its first test, and of each of its files, hooks included. */
export type FileTimes = { setUp: number; files: { name: string; seconds: number }[] };

const seconds = (ms: number) => Math.round(ms / 100) / 10;

/** Writes the times, which vitest's JSON report lacks. */
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
