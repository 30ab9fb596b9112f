import { connect } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import {
  type Certificate,
  type FakeController,
  makeCertificate,
  startFakeController,
} from '../../box/played/fake-controller.ts';
import { podOf, testMetrics } from '../../box/played/fixtures.ts';
import { clusterEntry, reportBody } from '../../box/played/report-body.ts';
import {
  decodeReport,
  type FilterReport,
  ReportError,
} from '../../companion/contract/filter-report.ts';
import { createAggregate } from '../../companion/node/aggregate.ts';
import { aggregateBounds } from '../../companion/node/observed.ts';
import {
  addresses,
  eventually,
  runTestNode,
  type TestNode,
} from '../unit/companion/node/running-node.ts';
import { bytes, fuzz, fuzzTimeoutMs, mutated, text } from './fuzz.ts';

vi.setConfig({ testTimeout: fuzzTimeoutMs, hookTimeout: 30_000 });

const report = fc
  .array(fc.tuple(text, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })), { maxLength: 20 })
  .map((entries) =>
    reportBody(
      7n,
      1,
      entries.map(([name, count]) => clusterEntry(name || 'x', count)),
    ),
  );
/** The decoded report, or undefined if the bytes are not a report. */
function decoded(body: Uint8Array): FilterReport | undefined {
  try {
    return decodeReport(body);
  } catch {
    return undefined;
  }
}

const reportBytes = fc.oneof(bytes, report, mutated(report));

test('any body of a report is decoded or refused with a named error', async () => {
  await fuzz(
    fc.property(reportBytes, (body) => {
      try {
        const { entries } = decodeReport(body);
        expect(entries.length * 12).toBeLessThanOrEqual(body.length);
      } catch (error) {
        expect(error).toBeInstanceOf(ReportError);
      }
    }),
  );
});

test('for any reports the tables of a node stay within their bounds', async () => {
  const bounds = { ...aggregateBounds, destinationsPerProxy: 8, vmsPerProxy: 4, counters: 24 };
  const from = fc.constantFrom(...['a', 'b', 'c'].map((name) => podOf(name)));
  await fuzz(
    fc.property(fc.array(fc.tuple(from, reportBytes), { maxLength: 12 }), (reports) => {
      let now = 0;
      const { metrics } = testMetrics();
      const aggregate = createAggregate({ metrics, now: () => now, bounds });
      for (const [pod, body] of reports) {
        now += 1_000;
        const read = decoded(body);
        if (read) aggregate.record(pod, read);
      }
      const proxies = [...aggregate.proxies()];
      for (const { destinations, vms } of proxies) {
        expect(destinations.size).toBeLessThanOrEqual(bounds.destinationsPerProxy);
        expect(vms.size).toBeLessThanOrEqual(bounds.vmsPerProxy);
        for (const { edge, count } of destinations.values()) {
          expect(JSON.stringify(edge).length).toBeLessThan(2_000);
          expect(Number.isSafeInteger(count) && count > 0).toBe(true);
        }
      }
      const counters = proxies.flatMap(({ vms }) => [...vms.values()]);
      expect(counters.reduce((sum, { counts }) => sum + counts.size, 0)).toBeLessThanOrEqual(24);
    }),
  );
});

let certificate: Certificate;
let controller: FakeController;
let node: TestNode;

beforeAll(async () => {
  certificate = await makeCertificate();
  controller = await startFakeController(certificate);
  node = await runTestNode(certificate, controller.port);
  await eventually(async () => (await node.metric('controller_streams')) === 1);
});
afterAll(async () => {
  await node.stop();
  await controller.stop();
  await certificate.remove();
});

const line = fc.constantFrom(
  'GET /v1/resolve HTTP/1.1',
  'POST /v1/report HTTP/1.1',
  'GET / HTTP/1.1',
  'CONNECT a:80 HTTP/1.1',
  'PRI * HTTP/2.0',
  'OPTIONS * HTTP/1.1',
  'GET http://a/b HTTP/1.0',
);
const header = fc.tuple(
  fc.constantFrom(
    'host',
    'content-length',
    'transfer-encoding',
    'content-type',
    'expect',
    'upgrade',
    'connection',
    'x-lazyscope-call',
    'x-lazyscope-authority',
    'x-lazyscope-destination',
  ),
  fc.oneof(
    text,
    fc.constantFrom('0', '5', '-1', '1e9', 'chunked', 'http', 'tcp', 'upgrade', '100-continue'),
  ),
);
const http = fc
  .tuple(line, fc.array(header, { maxLength: 6 }), text)
  .map(([start, headers, body]) => {
    const lines = headers.map(([name, value]) => `${name}: ${value}`);
    return Buffer.from([start, ...lines, '', body].join('\r\n'), 'latin1');
  });

/** Sends the bytes, ends the connection, and returns everything received. */
async function exchange(from: string, body: Uint8Array): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port: node.port, localAddress: from });
  socket.on('error', () => undefined);
  socket.end(body);
  const timer = setTimeout(() => socket.destroy(), 500);
  const chunks = await socket.toArray().catch(() => []);
  clearTimeout(timer);
  return Buffer.concat(chunks).toString('latin1');
}

/**
 * The reply contains the name of one of our headers, because the request itself contained the name:
 * the reply repeats it in `location`.
 */
const saysItself = Buffer.from('GET / HTTP/1.1\r\nhost: x-lazyscope-call: http\r\n\r\n');

test('any bytes on the port of a node are answered or dropped, and teach nothing to strangers', async () => {
  const input = fc.oneof(bytes, http, mutated(http));
  await fuzz(
    fc.asyncProperty(input, fc.boolean(), async (body, isPod) => {
      const reply = await exchange(isPod ? addresses.cart : addresses.stranger, body);
      expect(reply).toMatch(/^(HTTP\/1\.1 \d{3} |$)/);
      if (!isPod) expect(reply).not.toMatch(/^HTTP\/1\.1 20|^x-lazyscope/im);
    }),
    [[saysItself, false]],
  );
  expect((await node.call({ from: addresses.cart, headers: { host: 'a' } })).status).toBe(307);
  expect(controller.questions().filter(({ pod }) => pod !== 'cart')).toEqual([]);
});
