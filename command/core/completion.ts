/** What a shell can complete, apart from commander's own classes. */
export type Completable = {
  name: string;
  options: { flags: string[]; values: readonly string[]; takesValue: boolean; about: string }[];
  /** Values of the arguments, by position. */
  arguments: (readonly string[])[];
  about: string;
  children: Completable[];
};

/** `value` alone, or with a text that explains it; a tab separates them, as fish and zsh expect. */
export type Candidate = { value: string; about: string };

/**
 * Words that may follow. `words` are those after the name of the program; the last one is
 * unfinished and may be empty.
 */
export function candidatesFor(root: Completable, words: readonly string[]): Candidate[] {
  const last = words.at(-1) ?? '';
  let command = root;
  const options = [...root.options];
  let argumentsBefore = 0;
  let pending: Completable['options'][number] | undefined;
  for (const word of words.slice(0, -1)) {
    if (pending) {
      pending = undefined;
      continue;
    }
    const option = options.find(({ flags }) => flags.includes(word));
    if (option) {
      pending = option.takesValue ? option : undefined;
      continue;
    }
    const child = command.children.find(({ name }) => name === word);
    if (child && argumentsBefore === 0) {
      command = child;
      options.push(...child.options);
    } else if (!word.startsWith('-')) argumentsBefore += 1;
  }
  const matching = (all: readonly Candidate[]) => all.filter(({ value }) => value.startsWith(last));
  if (pending) return matching(pending.values.map((value) => ({ value, about: '' })));
  if (last.startsWith('-')) {
    return matching(
      options.flatMap(({ flags, about }) => flags.map((value) => ({ value, about }))),
    );
  }
  const values = command.arguments[argumentsBefore] ?? [];
  return matching([
    ...command.children.map(({ name, about }) => ({ value: name, about })),
    ...values.map((value) => ({ value, about: '' })),
  ]);
}

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** The script that a shell sources; it asks the program for each completion. */
export function completionScript(shell: Shell): string {
  return scripts[shell];
}

const scripts: Record<Shell, string> = {
  bash: `# bash completion of lazyscope: source <(lazyscope completion bash)
_lazyscope() {
  local IFS=$'\\n'
  COMPREPLY=($(lazyscope __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1))
}
complete -o default -F _lazyscope lazyscope
`,
  zsh: `#compdef lazyscope
# zsh completion of lazyscope: source <(lazyscope completion zsh)
_lazyscope() {
  local -a candidates
  local line
  while IFS=$'\\t' read -r value about; do
    candidates+=("\${value//:/\\\\:}\${about:+:$about}")
  done < <(lazyscope __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)
  _describe lazyscope candidates
}
compdef _lazyscope lazyscope
`,
  fish: `# fish completion of lazyscope: lazyscope completion fish | source
function __lazyscope_complete
  set -l words (commandline -opc) (commandline -ct)
  lazyscope __complete -- $words[2..-1] 2>/dev/null
end
complete -c lazyscope -f -a '(__lazyscope_complete)'
`,
};
