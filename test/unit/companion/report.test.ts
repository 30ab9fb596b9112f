import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  decodeReport,
  type FilterReport,
  maxReportBytes,
  type ReportEntry,
  ReportError,
  totalNames,
} from '../../../companion/contract/filter-report.ts';

const headBytes = 24 + totalNames.length * 8;

/** A second, independent encoder of the layout, so that an error on one side shows. */
function encode(report: FilterReport): Uint8Array {
  const keys = report.entries.map(({ destination: d }) => {
    if (d.kind === 'cluster') return { kind: 0, key: Buffer.from(d.cluster) };
    if (d.kind === 'tcp') return { kind: 2, key: Buffer.from(d.address) };
    return { kind: 1, key: Buffer.from(`${d.authority}\0${d.address}`) };
  });
  const body = Buffer.alloc(headBytes + keys.reduce((sum, { key }) => sum + 12 + key.length, 0));
  const [major = 0, minor = 0, patch = 0] = report.filterVersion.split('.').map(Number);
  body.write('LZSR', 0, 'latin1');
  body.writeUInt16LE(1, 4);
  body.writeUInt16LE(keys.length, 6);
  body.writeUInt32LE(major * 65536 + minor * 256 + patch, 8);
  body.writeUInt32LE(report.sequence, 12);
  body.writeBigUInt64LE(report.epoch, 16);
  for (const [i, name] of totalNames.entries()) {
    body.writeBigUInt64LE(report.totals[name], 24 + i * 8);
  }
  let at = headBytes;
  for (const [i, { kind, key }] of keys.entries()) {
    body.writeUInt8(kind, at);
    body.writeUInt16LE(key.length, at + 2);
    body.writeBigUInt64LE(report.entries[i]?.count ?? 0n, at + 4);
    key.copy(body, at + 12);
    at += 12 + key.length;
  }
  return new Uint8Array(body);
}

const text = fc.string({ minLength: 1, maxLength: 60 }).filter((s) => !s.includes('\0'));
const count = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const entry: fc.Arbitrary<ReportEntry> = fc.record({
  count,
  destination: fc.oneof(
    fc.record({ kind: fc.constant('cluster' as const), cluster: text }),
    fc.record({ kind: fc.constant('http' as const), authority: text, address: text }),
    fc.record({ kind: fc.constant('tcp' as const), address: text }),
  ),
});
const byte = fc.nat(255);
const report: fc.Arbitrary<FilterReport> = fc.record({
  filterVersion: fc.tuple(byte, byte, byte).map((parts) => parts.join('.')),
  epoch: count,
  sequence: fc.nat(0xffffffff),
  totals: fc
    .tuple(...totalNames.map(() => count))
    .map(
      (values) =>
        Object.fromEntries(totalNames.map((n, i) => [n, values[i]])) as FilterReport['totals'],
    ),
  entries: fc.array(entry, { maxLength: 40 }),
});

const example: FilterReport = {
  filterVersion: '0.1.0',
  epoch: 7n,
  sequence: 3,
  totals: Object.fromEntries(totalNames.map((n) => [n, 0n])) as FilterReport['totals'],
  entries: [{ destination: { kind: 'tcp', address: '10.0.0.1:3306' }, count: 2n }],
};

/** The example with a part of its body changed. */
function spoiled(change: (body: Buffer) => void): Uint8Array {
  const body = Buffer.from(encode(example));
  change(body);
  return body;
}

test('a report is decoded as it was encoded', () => {
  const isSame = (r: FilterReport) => {
    expect(decodeReport(encode(r))).toEqual(r);
  };
  fc.assert(fc.property(report, isSame));
});

test('a body inside a larger buffer is read at its offset', () => {
  const body = encode(example);
  const larger = new Uint8Array(body.length + 9);
  larger.set(body, 5);
  expect(decodeReport(larger.subarray(5, 5 + body.length))).toEqual(example);
});

test('any bytes are a report or a ReportError', () => {
  const attempt = (bytes: Uint8Array) => {
    try {
      return Array.isArray(decodeReport(bytes).entries);
    } catch (error) {
      return error instanceof ReportError;
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), attempt));
  fc.assert(
    fc.property(report, fc.nat(), byte, (r, at, value) => {
      const body = encode(r);
      body[at % body.length] = value;
      return attempt(body);
    }),
  );
  fc.assert(fc.property(report, fc.nat(), (r, n) => attempt(encode(r).subarray(0, n))));
});

test('an invalid byte in one authority does not affect the other entries', () => {
  const entries: ReportEntry[] = [
    { destination: { kind: 'http', authority: 'bad', address: '10.0.0.1:80' }, count: 1n },
    { destination: { kind: 'cluster', cluster: 'good' }, count: 1n },
  ];
  const body = encode({ ...example, entries });
  body[headBytes + 12] = 0xff;
  expect(decodeReport(body).entries[1]).toEqual(entries[1]);
});

test.each([
  ['an empty body', new Uint8Array(0), 'at least 112'],
  ['a body over the limit', new Uint8Array(maxReportBytes + 1), 'at most 65536'],
  ['another magic', spoiled((b) => b.writeUInt8(0, 0)), 'magic'],
  ['a layout that never was', spoiled((b) => b.writeUInt16LE(0, 4)), 'layout 0'],
  ['more entries than there are', spoiled((b) => b.writeUInt16LE(2, 6)), 'entry 1 is cut'],
  ['fewer entries than there are', spoiled((b) => b.writeUInt16LE(0, 6)), 'after the last entry'],
  ['an unknown kind', spoiled((b) => b.writeUInt8(9, headBytes)), 'unknown kind 9'],
  ['a key that is too long', spoiled((b) => b.writeUInt16LE(99, headBytes + 2)), 'key 0 is cut'],
  ['an HTTP key without address', spoiled((b) => b.writeUInt8(1, headBytes)), 'authority, NUL'],
])('%s is refused by name', (_, body, message) => {
  expect(() => decodeReport(body)).toThrow(ReportError);
  expect(() => decodeReport(body)).toThrow(message);
});
