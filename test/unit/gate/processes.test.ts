import { expect, test } from 'vitest';
import { endTree, startCommand } from '../../gate/processes.ts';

const options = { cwd: '.', env: process.env, background: false };
test('the output of a command is kept line by line, and reported at once', async () => {
  const told: string[] = [];
  const script = 'echo one; echo two >&2; exit 3';
  const onLine = (line: string) => told.push(line);
  const { code, lines } = await startCommand(['sh', '-c', script], { ...options, onLine }).ended;
  expect(code).toBe(3);
  expect([...lines].sort()).toEqual(['one', 'two']);
  expect([...told].sort()).toEqual(['one', 'two']);
});

test('a background command runs at the lowest priority', async () => {
  const running = startCommand(['nice'], { ...options, background: true });
  expect((await running.ended).lines).toEqual(['19']);
});

test('a missing command fails with a message', async () => {
  const { code, lines } = await startCommand(['no-such-command'], options).ended;
  expect(code).toBe(1);
  expect(lines.join()).toContain('ENOENT');
});

test('ending a command also ends its child processes', async () => {
  let started = false;
  const onLine = () => (started = true);
  const script = 'sleep 600 & echo started; wait';
  const running = startCommand(['sh', '-c', script], { ...options, onLine });
  await expect.poll(() => started).toBe(true);
  endTree(running);
  // The background process holds the output open as long as it runs.
  expect((await running.ended).lines).toEqual(['started']);
});
