import { expect, test } from 'vitest';
import { bar, liveView, plainView, table } from '../../../demo/view.ts';

type Screen = { output: { write(text: string): boolean; columns: number }; text(): string };

function screen(columns = 20): Screen {
  let text = '';
  const write = (part: string) => {
    text += part;
    return true;
  };
  return { output: { write, columns }, text: () => text };
}

/** The final content of a terminal: the printed lines without the erased ones. */
function shown(text: string): string[] {
  const lines: string[] = [];
  for (const part of text.replaceAll('\u001b[0J', '\n').split('\n')) {
    const up = part.startsWith('\u001b[') ? Number.parseInt(part.slice(2), 10) : 0;
    if (up > 0) lines.splice(lines.length - up);
    else if (part !== '') lines.push(part);
  }
  return lines;
}

test('a pipe gets lines with the time, and no control characters', () => {
  const { output, text } = screen();
  const view = plainView(output);
  view.say('hello');
  view.print('as it is');
  view.end();
  expect(text()).toMatch(/^ +\d+\.\d s {2}hello\nas it is\n$/);
});

test('a terminal keeps the panel below the printed lines, and no line wraps', async () => {
  const { output, text } = screen();
  const view = liveView(output);
  view.panel(async () => ['panel', 'x'.repeat(50)]);
  await Promise.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  view.print('one');
  view.print('two');
  view.end();
  expect(shown(text())).toEqual(['one', 'two', 'panel', `${'x'.repeat(18)}…`]);
});

test('a terminal without a width gets whole lines', async () => {
  const { output, text } = screen(0);
  const view = liveView(output);
  view.panel(async () => ['x'.repeat(200)]);
  await Promise.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  view.end();
  expect(shown(text())).toEqual(['x'.repeat(200)]);
});

test('figures are aligned in columns', () => {
  expect(
    table([
      ['', 'full', 'scoped'],
      ['memory', '107.3 MB', '9 MB'],
    ]),
  ).toEqual(['             full   scoped', 'memory   107.3 MB     9 MB']);
});

test('the length of a bar is its share, and never zero', () => {
  expect(bar(50, 100, 10)).toBe('█████');
  expect(bar(1, 1000, 10)).toBe('▏');
});
