import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseSync } from 'oxc-parser';

/** Parsed functions and comments of the repository's sources, for tests that check them. */

export const root = join(import.meta.dirname, '../..');
export const read = (file: string) => readFileSync(join(root, file), 'utf8');

/** Files that are under version control or not ignored, which a reader of the repository sees. */
export const files = execFileSync(
  'git',
  ['ls-files', '--cached', '--others', '--exclude-standard'],
  { cwd: root, encoding: 'utf8' },
)
  .split('\n')
  .filter((file) => file !== '' && existsSync(join(root, file)));

type Node = { type: string; start: number; end: number; [field: string]: unknown };

const isFunction = ({ type }: Node) =>
  type === 'FunctionDeclaration' ||
  type === 'FunctionExpression' ||
  type === 'ArrowFunctionExpression';

/**
 * Each function of a source with its own lines. The lines of an inner function count for the inner
 * function only, so a factory counts only the lines outside of the functions that it returns.
 */
export function functionsOf(file: string, text = read(file)): { name: string; lines: number }[] {
  const { program, errors } = parseSync(file, text);
  if (errors.length > 0) throw new Error(`${file}: ${errors[0]?.message}`);
  const lineOf = (offset: number) => text.slice(0, offset).split('\n').length;
  const linesOf = ({ start, end }: Node) => lineOf(end) - lineOf(start) + 1;
  const found: { name: string; lines: number }[] = [];

  /**
   * Returns the lines of the functions within the node, which the outer function must not count.
   */
  function visit(value: unknown, name: string): number {
    if (Array.isArray(value)) return value.reduce((sum, each) => sum + visit(each, name), 0);
    if (typeof value !== 'object' || value === null) return 0;
    const node = value as Node;
    const { id, key } = node as { id?: { name?: string }; key?: { name?: string } };
    const own = id?.name ?? key?.name ?? name;
    const inner = Object.values(node).reduce((sum: number, part) => sum + visit(part, own), 0);
    if (!isFunction(node)) return inner;
    const lines = linesOf(node);
    found.push({ name: own, lines: lines - inner });
    // The first line holds the statement, so it belongs to the outer function.
    return lines - 1;
  }

  visit(program, file);
  return found;
}

/** Lines of comments, by their number from 1. */
export function commentLinesOf(file: string): { line: number; text: string }[] {
  const text = read(file);
  const lines = text.split('\n');
  const { comments } = parseSync(file, text);
  const numbers = comments.flatMap(({ start, end }) => {
    const first = text.slice(0, start).split('\n').length;
    const last = text.slice(0, end).split('\n').length;
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
  return [...new Set(numbers)].map((line) => ({ line, text: lines[line - 1] ?? '' }));
}
