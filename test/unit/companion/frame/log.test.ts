import { expect, it } from 'vitest';
import { createLog } from '../../../../companion/frame/log.ts';

it('a log line never shows a credential, wherever it sits', () => {
  const lines: string[] = [];
  const log = createLog('node', 'info', { write: (line) => lines.push(line) });
  const secret = 'very-secret';
  log.info({ token: secret, user: { token: secret }, headers: { authorization: secret } }, 'x');
  log.debug('too detailed');
  expect(lines).toHaveLength(1);
  expect(lines[0]).not.toContain(secret);
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({ role: 'node', level: 'info', msg: 'x' });
});
