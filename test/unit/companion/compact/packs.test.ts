import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { packRecords, unpackRecords } from '../../../../companion/contract/catalog-pack.ts';

test('a pack holds its records, whatever their texts are', () => {
  const record = fc.record({ key: fc.string({ unit: 'binary' }), text: fc.string() });
  fc.assert(
    fc.property(fc.array(record), (records) => {
      expect(unpackRecords(packRecords(records))).toEqual(records);
    }),
  );
});

test('what is no pack is refused', () => {
  const texts = ['', '{}', '[1]', '[["key"]]', '[["key",1]]', 'no json'];
  for (const text of texts) expect(unpackRecords(deflateRawSync(text))).toBeUndefined();
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      expect(unpackRecords(bytes) ?? []).toBeInstanceOf(Array);
    }),
  );
});

test('a pack that would become larger than a node keeps is refused before it does', () => {
  const bomb = deflateRawSync(Buffer.alloc(25 * 1024 * 1024, ' '));
  expect(bomb.length).toBeLessThan(64 * 1024);
  expect(unpackRecords(bomb)).toBeUndefined();
});
