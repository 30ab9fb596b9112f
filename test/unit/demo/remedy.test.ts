import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { remedyOf } from '../../../demo/remedy.ts';
import { listen } from '../../../embedded/listen.ts';

test.each([
  ['Envoy egress rejects 0.0.0.0_15443: cannot bind: Address already in use', /start .* again/],
  ['Envoy full: ended by SIGKILL. Its last lines:', /memory.*--services 100/],
  ['Envoy full: unable to create filesystem watcher: Too many open files', /max_user_instances/],
  ['Envoy full: not ready within 60 s (no admin address yet)', /--services 100/],
])('%s', (message, remedy) => {
  expect(remedyOf(message)).toMatch(remedy);
});

test('a port that this process may not bind is distinguished from other failures', async () => {
  const { port, stop } = await listen(createServer());
  const error = await new Promise<Error>((resolve) => {
    createServer().on('error', resolve).listen(port, '127.0.0.1');
  });
  await stop();
  expect(remedyOf(error.message)).toMatch(/took the port/);
  expect(remedyOf('Envoy 1.40.0 cannot be fetched: python3 is missing: install Python')).toBe('');
});
