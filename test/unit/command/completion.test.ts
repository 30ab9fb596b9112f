import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { completionScript, shells } from '../../../command/core/completion.ts';
import { commandLine } from './host.ts';

const after = async (line: string) => {
  const { out } = await commandLine(`__complete -- ${line}`);
  return out
    .trimEnd()
    .split('\n')
    .map((text) => text.split('\t')[0]);
};

test.each([
  ['comp', ['completion']],
  ['-o json vers', ['version']],
  ['version -o ', ['table', 'wide', 'json', 'yaml', 'sarif', 'junit']],
  ['version --out', ['--output']],
  ['completion ', ['bash', 'zsh', 'fish']],
  ['completion b', ['bash']],
  ['completion bash ', ['']],
  ['nothing-of-this-name x', ['']],
])('after "lazyscope %s" follow %o', async (line, expected) => {
  expect(await after(line)).toEqual(expected);
});

test('the name alone is completed with the verbs in the help', async () => {
  expect(await after('')).toContain('version');
  expect(await after('')).not.toContain('__complete');
});

test.each(shells)('%s has a script that asks the program', async (shell) => {
  const { code, out } = await commandLine(`completion ${shell}`);
  expect(code).toBe(0);
  expect(out).toContain('lazyscope __complete -- ');
});

test('bash loads the script and completes with it', () => {
  const program = `lazyscope() { printf 'version\\tabout\\n'; }`;
  const ask = 'COMP_WORDS=(lazyscope ver); COMP_CWORD=1; _lazyscope; echo "$COMPREPLY"';
  const script = `${program}\n${completionScript('bash')}\n${ask}`;
  expect(execFileSync('bash', ['-c', script], { encoding: 'utf8' })).toBe('version\n');
});
