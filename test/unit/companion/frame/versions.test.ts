import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { expect, test } from 'vitest';
import { decodeReport } from '../../../../companion/contract/filter-report.ts';
import {
  type ControllerHandlers,
  type ControllerMessage,
  controllerService,
  type NodeMessage,
} from '../../../../companion/contract/rpc.ts';

/**
 * The contract of the released version. This copy never changes, so that a change of the contract
 * shows here.
 */
const released = loadSync(join(import.meta.dirname, 'companion-0.1.0.proto'), {
  longs: Number,
  enums: String,
  defaults: true,
})['lazyscope.v1.Controller'] as unknown as ServiceDefinition<ControllerHandlers>;

const before = Object.values(released)[0] as (typeof released)['connect'];
const now = Object.values(controllerService)[0] as (typeof controllerService)['connect'];

const call = { tcp: false, authority: 'cart', destination: '10.96.0.1:80' };
const pod = { namespace: 'shop', pod: 'web', podUid: 'u' };
const fromNode: NodeMessage[] = [
  { hello: { node: 'node-1', version: '0.1.0' } },
  {
    report: {
      ...pod,
      filterVersion: '0.1.0',
      edges: [{ cluster: 'outbound|80||cart.shop.svc.cluster.local', secondsSinceSeen: 1 }],
      overflow: 2,
      secondsSinceHeartbeat: 4,
    },
  },
  { question: { id: 7, ...pod, call } },
  { gone: pod },
];
const fromController: ControllerMessage[] = [
  {
    answer: {
      id: 7,
      strategy: 'hold',
      otherwise: 'direct',
      sni: 'outbound_.80_._.cart.shop.svc.cluster.local',
      identities: ['spiffe://cluster.local/ns/shop/sa/cart'],
      ttlSeconds: 30,
      millisecondsSinceScopeWritten: 5,
      reason: 'why',
    },
  },
  { forget: { namespace: 'shop', pod: 'web' } },
];

test.each(fromNode)('a controller and a node one release apart understand %o', (message) => {
  expect(now.requestDeserialize(before.requestSerialize(message))).toMatchObject(message);
  expect(before.requestDeserialize(now.requestSerialize(message))).toMatchObject(message);
});

test.each(fromController)('a node and a controller one release apart understand %o', (message) => {
  expect(now.responseDeserialize(before.responseSerialize(message))).toMatchObject(message);
  expect(before.responseDeserialize(now.responseSerialize(message))).toMatchObject(message);
});

test('a release ignores fields that it does not know', () => {
  const read = before.requestDeserialize(now.requestSerialize({ renew: { token: 't' } }));
  expect(Object.values(read).filter((part) => part !== null)).toEqual([]);
});

/** The bytes of a report from the filter of 0.1.0. */
const report = Buffer.from(
  '4c5a535201000100000100000200000001020304050607080a0000000000000000000000000000000100000000000000' +
    '010000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000' +
    '000000000000000000000000000000000000280003000000000000006f7574626f756e647c38307c7c636172742e7368' +
    '6f702e7376632e636c75737465722e6c6f63616c',
  'hex',
);

test('a companion reads the report of the released filter', () => {
  const { filterVersion, sequence, totals, entries } = decodeReport(report);
  expect({ filterVersion, sequence, requests: totals.requests }).toEqual({
    filterVersion: '0.1.0',
    sequence: 2,
    requests: 10n,
  });
  expect(entries).toEqual([
    {
      destination: { kind: 'cluster', cluster: 'outbound|80||cart.shop.svc.cluster.local' },
      count: 3n,
    },
  ]);
});

test('a companion reads the fields that it knows in the report of the next filter', () => {
  const unknown = Buffer.alloc(12 + 5);
  unknown.writeUInt8(3, 0);
  unknown.writeUInt16LE(5, 2);
  const later = Buffer.concat([report, unknown, Buffer.from('more totals')]);
  later.writeUInt16LE(2, 4);
  later.writeUInt16LE(2, 6);
  // Version 0.1.1.
  later.writeUInt32LE(0x000101, 8);
  const { filterVersion, ...read } = decodeReport(later);
  const { filterVersion: _, ...known } = decodeReport(report);
  expect(filterVersion).toBe('0.1.1');
  expect(read).toEqual(known);
});

test('a released field of the contract is unchanged or reserved', () => {
  const root = join(import.meta.dirname, '../../../..');
  const now = messagesIn(join(root, 'companion/contract/companion.proto'));
  const released = messagesIn(join(import.meta.dirname, 'companion-0.1.0.proto'));
  expect(released.size).toBeGreaterThan(10);
  const dropped: string[] = [];
  for (const [name, { fields }] of released)
    for (const [number, field] of fields) {
      const here = now.get(name);
      if (here?.reserved.has(number)) dropped.push(`${name}: ${field}`);
      else expect(here?.fields.get(number), `${name} ${number}`).toBe(field);
      expect(here?.reserved.has(number) && here.fields.has(number)).toBe(false);
    }
  // No controller ever read these fields.
  expect(dropped).toEqual([
    'ProxyReport: bool complete',
    'Edge: uint64 count',
    'Question: bool held',
  ]);
});

/** The messages of a proto file: each field by its number, and the reserved numbers. */
function messagesIn(file: string) {
  const messages = new Map<string, { fields: Map<string, string>; reserved: Set<string> }>();
  for (const [, name = '', body = ''] of readFileSync(file, 'utf8').matchAll(
    /^message (\w+) \{\n(.*?)^\}/gms,
  )) {
    const fields = [...body.matchAll(/^\s+((?:repeated )?\w+ \w+) = (\d+);/gm)];
    const reserved = [...body.matchAll(/^\s+reserved (\d+);/gm)];
    messages.set(name, {
      fields: new Map(fields.map(([, field = '', number = '']) => [number, field])),
      reserved: new Set(reserved.map(([, number = '']) => number)),
    });
  }
  return messages;
}
