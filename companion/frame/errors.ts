/** Exit statuses, from sysexits.h: a bad configuration is not worth a restart without a change. */
export const exitStatus = { failure: 1, usage: 64 } as const;

/** One setting that cannot be used: what was given and what to do about it. */
export type ConfigProblem = { variable: string; value: string; problem: string; remedy: string };

/** Every problem of a configuration at once, so that nobody repairs it one restart at a time. */
export class ConfigError extends Error {
  readonly problems: readonly ConfigProblem[];
  constructor(problems: readonly ConfigProblem[]) {
    super(
      problems
        .map(
          ({ variable, value, problem, remedy }) =>
            `${variable}=${JSON.stringify(value)}: ${problem}; ${remedy}`,
        )
        .join('\n'),
    );
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
