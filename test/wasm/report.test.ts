import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeReport, type FilterReport } from '../../companion/contract/filter-report.ts';
import {
  address,
  answer,
  gateway,
  knownRequest,
  nextReport,
  passthrough,
  second,
  tick,
  unknownRequest,
} from './calls.ts';
import { Host } from './host.ts';

const name = (i: number) => `outbound|80||service-${i}.app.svc.cluster.local`;

/** The count of each destination in a report, by a readable key. */
function countsOf(report: FilterReport): Map<string, bigint> {
  return new Map(
    report.entries.map(({ destination, count }) => [Object.values(destination).join(' '), count]),
  );
}

test('a report is a bounded POST to the node companion', () => {
  const host = new Host();
  const root = host.configure();
  knownRequest(host, name(1));
  tick(host, root);
  const { cluster, headers, timeout } = host.call('/v1/report');
  expect([cluster, timeout]).toEqual(['lazyscope-node', 1000]);
  expect(headers).toMatchObject({ ':method': 'POST', 'content-type': 'application/octet-stream' });
});

test('a new destination is reported at the next tick, and others at the interval', () => {
  const host = new Host();
  const root = host.configure({ flushSeconds: 10 });
  nextReport(host, root);
  knownRequest(host, name(1));
  tick(host, root);
  expect(countsOf(decodeReport(host.call('/v1/report').body)).get(`cluster ${name(1)}`)).toBe(1n);
  host.respond(host.call('/v1/report'), { ':status': '204' });
  knownRequest(host, name(1));
  for (let i = 0; i < 8; i++) tick(host, root);
  expect(host.calls).toEqual([]);
  for (let i = 0; i < 4; i++) tick(host, root);
  expect(countsOf(decodeReport(host.call('/v1/report').body)).get(`cluster ${name(1)}`)).toBe(2n);
});

test('without news the filter sends a heartbeat without entries within 30 seconds', () => {
  const host = new Host();
  const root = host.configure();
  const first = nextReport(host, root);
  let seconds = 0;
  for (; seconds < 40 && host.calls.length === 0; seconds++) tick(host, root);
  const heartbeat = decodeReport(host.call('/v1/report').body);
  expect(seconds).toBeLessThanOrEqual(30);
  expect(heartbeat.entries).toEqual([]);
  expect([heartbeat.epoch, heartbeat.sequence]).toEqual([first.epoch, first.sequence + 1]);
});

test.each(['broken' as const, 503, 429, 504])(
  'the content of a report lost by %s is sent again',
  (status) => {
    const host = new Host();
    const root = host.configure();
    knownRequest(host, name(1));
    expect(nextReport(host, root, status).entries.length).toBe(1);
    expect(nextReport(host, root).entries.length).toBe(1);
    knownRequest(host, name(2));
    expect(countsOf(nextReport(host, root))).toEqual(new Map([[`cluster ${name(2)}`, 1n]]));
  },
);

test('a refused filter sends a heartbeat at every interval until it is accepted', () => {
  const host = new Host();
  const root = host.configure();
  nextReport(host, root, 403);
  for (let i = 0; i < 3; i++) {
    const before = host.now;
    nextReport(host, root, 403);
    // The interval of 5 s, a tenth of the interval, and the tick.
    expect(Number(host.now - before) / 1e9).toBeLessThan(7);
  }
  nextReport(host, root, 204);
  for (let i = 0; i < 10; i++) tick(host, root);
  expect(host.calls).toEqual([]);
});

test('after 409 everything is reported again', () => {
  const host = new Host();
  const root = host.configure();
  for (let i = 0; i < 10; i++) knownRequest(host, name(i));
  expect(nextReport(host, root).entries.length).toBe(10);
  knownRequest(host, name(3));
  expect(nextReport(host, root, 409).entries.length).toBe(1);
  const again = countsOf(nextReport(host, root));
  expect(again.size).toBe(10);
  expect(again.get(`cluster ${name(3)}`)).toBe(2n);
});

test('at most one report is in flight, and a report that Envoy lost is abandoned', () => {
  const host = new Host();
  const root = host.configure();
  knownRequest(host, name(1));
  tick(host, root);
  for (let i = 0; i < 2; i++) {
    knownRequest(host, name(10 + i));
    tick(host, root);
  }
  expect(host.calls.length).toBe(1);
  host.calls.length = 0;
  for (let i = 0; i < 3; i++) tick(host, root);
  expect(decodeReport(host.call('/v1/report').body).entries.length).toBe(3);
});

test('events during a report are in the next report', () => {
  const host = new Host();
  const root = host.configure();
  knownRequest(host, name(1));
  tick(host, root);
  knownRequest(host, name(1));
  host.respond(host.call('/v1/report'), { ':status': '204' });
  expect(countsOf(nextReport(host, root))).toEqual(new Map([[`cluster ${name(1)}`, 2n]]));
});

const long = (i: number) => `outbound|80||${'x'.repeat(250)}${i}`;

test('a table too large for one body is split into several, even if the first is lost', () => {
  const host = new Host();
  const root = host.configure();
  for (let i = 0; i < 500; i++) knownRequest(host, long(i));
  expect(nextReport(host, root, 'broken').entries.length).toBeGreaterThan(200);
  const told = new Set<string>();
  for (let reports = 0; reports < 3; reports++) {
    for (const key of countsOf(nextReport(host, root)).keys()) told.add(key);
  }
  expect(told.size).toBe(500);
});

test('a full body delays no destination permanently', () => {
  const host = new Host();
  const root = host.configure();
  const told = new Set<string>();
  for (let reports = 0; reports < 6; reports++) {
    for (let i = 0; i < 500; i++) knownRequest(host, long(i));
    for (const key of countsOf(nextReport(host, root)).keys()) told.add(key);
  }
  expect(told.size).toBe(500);
});

test('two roots of one VM share one series of reports, even after one root has ended', () => {
  const host = new Host();
  const http = host.configure({ mode: 'http' });
  const tcp = host.configure({ mode: 'tcp' });
  expect([...host.tickPeriods.keys()]).toEqual([http, tcp]);
  knownRequest(host, name(1));
  const first = nextReport(host, http);
  knownRequest(host, name(2));
  host.removeRoot(http);
  const second = nextReport(host, tcp);
  expect([second.epoch, second.sequence]).toEqual([first.epoch, first.sequence + 1]);
});

test('each VM has an epoch of its own', () => {
  const epochs = [1, 2, 3].map((seed) => {
    const host = new Host(seed);
    return nextReport(host, host.configure()).epoch;
  });
  expect(new Set(epochs).size).toBe(3);
});

test('proxies that start together spread their reports', () => {
  const seconds = new Set<number>();
  for (let seed = 0; seed < 20; seed++) {
    const host = new Host(seed);
    const root = host.configure({ flushSeconds: 30 });
    nextReport(host, root);
    knownRequest(host, name(1));
    nextReport(host, root);
    knownRequest(host, name(1));
    const before = host.now;
    nextReport(host, root);
    seconds.add(Number((host.now - before) / second));
  }
  expect(seconds.size).toBeGreaterThan(3);
});

/** An event in the life of a proxy. Small numbers stand for destinations. */
const event = fc.oneof(
  fc.record({ kind: fc.constant('known' as const), i: fc.nat(20) }),
  fc.record({ kind: fc.constant('http' as const), i: fc.nat(10) }),
  fc.record({ kind: fc.constant('tcp' as const), i: fc.nat(10) }),
  fc.record({
    kind: fc.constant('report' as const),
    i: fc.constantFrom(204, 204, 409, 503, 'broken' as const),
  }),
);

test('whatever is lost, the reports add up to the real counts', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 200 }), (events) => {
      const host = new Host();
      const root = host.configure();
      const happened = new Map<string, bigint>();
      const told = new Map<string, bigint>();
      const count = (key: string) => happened.set(key, (happened.get(key) ?? 0n) + 1n);
      const take = (status: number | 'broken') => {
        const report = countsOf(nextReport(host, root, status));
        // The companion has the reports that it acknowledged. If only the reply is lost, the
        // companion may have the report too.
        if (status === 204 || status === 503) for (const [k, v] of report) told.set(k, v);
        if (status === 409) told.clear();
      };
      for (const { kind, i } of events) {
        if (kind === 'known') {
          host.close(knownRequest(host, name(i)));
          count(`cluster ${name(i)}`);
        } else if (kind === 'http') {
          const stream = unknownRequest(host, `host-${i}`);
          if (stream.paused) answer(host, passthrough);
          host.close(stream);
          count(`http host-${i} ${address}`);
        } else if (kind === 'tcp') {
          const stream = host.connect(`10.0.0.${i}:1`);
          if (stream.paused) answer(host, gateway);
          host.close(stream);
          count(`tcp 10.0.0.${i}:1`);
        } else take(i);
      }
      take(204);
      expect(told).toEqual(happened);
    }),
    { numRuns: 150 },
  );
});
