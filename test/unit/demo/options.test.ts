import { expect, test } from 'vitest';
import { readOptions } from '../../../demo/options.ts';

test('without options it is a mesh of 1,000 services that stays up', () => {
  const { services, once, json } = readOptions([]);
  expect([services.length, once, json]).toEqual([1000, false, false]);
});

test.each([
  [['--json'], '--json needs --once'],
  [['--services', '0'], '--services 0: give a whole number from 6 to 5000'],
  [['--services', '1e9'], '--services 1e9: give a whole number'],
  [['--services=x'], '--services x: give a whole number'],
  [['--services', '10', '--services-file', 'a'], 'exclude each other'],
  [['--services-file', 'nowhere.yaml'], '--services-file nowhere.yaml cannot be read (ENOENT)'],
  [['--service', '10'], "Unknown option '--service'; --help lists the options"],
  [['more'], "Unexpected argument 'more'"],
])('%j is refused with the remedy', (args, message) => {
  expect(() => readOptions(args)).toThrow(message);
});
