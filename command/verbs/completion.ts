import { Argument, type Command } from 'commander';
import {
  type Completable,
  candidatesFor,
  completionScript,
  type Shell,
  shells,
} from '../core/completion.ts';
import type { Verb } from '../frame/verb.ts';

const script: Verb = {
  usage: 'completion',
  about: 'print the script that completes words in your shell',
  example: ['lazyscope completion bash > /etc/bash_completion.d/lazyscope'],
  arguments: [new Argument('<shell>', 'the shell').choices(shells)],
  run({ out }, shell: Shell) {
    out.write(completionScript(shell));
    return undefined;
  },
};

/** What the scripts call, once for each completion. */
const complete: Verb = {
  usage: '__complete',
  about: 'words that may follow',
  hidden: true,
  arguments: [new Argument('[words...]', 'the words so far')],
  run({ program, out }, words: string[]) {
    for (const { value, about } of candidatesFor(completableOf(program), words))
      out.write(about ? `${value}\t${about}\n` : `${value}\n`);
    return undefined;
  },
};

export const completionVerbs: readonly Verb[] = [script, complete];

function completableOf(command: Command): Completable {
  return {
    name: command.name(),
    about: command.description(),
    options: command.options.map((option) => ({
      flags: [option.short, option.long].filter((flag): flag is string => flag !== undefined),
      values: option.argChoices ?? [],
      takesValue: option.required || option.optional,
      about: option.description,
    })),
    arguments: command.registeredArguments.map(({ argChoices }) => argChoices ?? []),
    children: command.commands.filter((child) => !child.name().startsWith('__')).map(completableOf),
  };
}
