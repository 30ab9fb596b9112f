import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  controllerService,
  messageBytesMax,
  type NodeMessage,
} from '../../../../companion/contract/rpc.ts';

// grpc-js accepts a handler under either name. The definition itself has the name in the proto
// file, Connect.
const [method] = Object.values(controllerService);
if (!method) throw new Error('the service has no method');
const { requestSerialize, requestDeserialize, responseDeserialize } = method;

function overTheWire(message: NodeMessage): NodeMessage {
  return requestDeserialize(requestSerialize(message));
}

const count = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const unknown = fc.record({ tcp: fc.boolean(), authority: fc.string(), destination: fc.string() });
const edge = fc.oneof(
  fc.record({ cluster: fc.string(), secondsSinceSeen: count, count }),
  fc.record({ unknown, secondsSinceSeen: count, count }),
);
const report = fc.record({
  namespace: fc.string(),
  pod: fc.string(),
  podUid: fc.string(),
  filterVersion: fc.string(),
  edges: fc.array(edge, { maxLength: 5 }),
  stats: fc.record({
    allocatedBytes: count,
    physicalBytes: count,
    clusters: count,
    secondsSinceRead: count,
  }),
  overflow: count,
  secondsSinceHeartbeat: count,
  source: fc.constantFrom('', 'access-log'),
  secondsUnbroken: count,
});

describe('a message', () => {
  it('arrives as it was sent, counters as numbers', () => {
    fc.assert(
      fc.property(report, (sent) => {
        expect(overTheWire({ report: sent })).toEqual({ report: sent });
      }),
    );
  });

  it('arrives with zeros for missing fields, and null for absent messages', () => {
    const question = { id: 7 } as NodeMessage['question'];
    expect(overTheWire({ ...(question && { question }) })).toEqual({
      question: { id: 7, namespace: '', pod: '', podUid: '', call: null },
    });
    expect(responseDeserialize(Buffer.alloc(0))).toEqual({});
  });

  it('is below the bound even for the largest report of a proxy', () => {
    const largest = {
      tcp: false,
      authority: 'a'.repeat(512),
      destination: '[::ffff:1.2.3.4]:65535',
    };
    const edges = Array.from({ length: 1024 }, () => ({
      unknown: largest,
      count: Number.MAX_SAFE_INTEGER,
      secondsSinceSeen: Number.MAX_SAFE_INTEGER,
    }));
    const [one] = fc.sample(report, 1);
    if (!one) throw new Error('no sample');
    expect(requestSerialize({ report: { ...one, edges } }).length).toBeLessThan(messageBytesMax);
  });
});
