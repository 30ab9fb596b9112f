/** Exit statuses of sysexits.h. A restart cannot help an invalid configuration. */
export const exitStatus = { failure: 1, usage: 64 } as const;

/** One invalid setting: its value and the remedy. */
export type ConfigProblem = { variable: string; value: string; problem: string; remedy: string };

/** All problems of a configuration together, so that users need not fix one problem per restart. */
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
