import { beforeEach, expect, test } from 'vitest';
import { decodeReport } from '../../companion/contract/filter-report.ts';
import { address, answer, gateway, hold, knownRequest, nextReport, tick } from './calls.ts';
import { Host, type Stream } from './host.ts';

let host: Host;
let root: number;

beforeEach(() => {
  host = new Host();
  root = host.configure();
});

const socket = 'outbound|80||socket.app.svc.cluster.local';

/** Destinations that the filter's reports name within this time. */
function toldWithin(seconds: number): Set<string> {
  const told = new Set<string>();
  for (let second = 0; second < seconds; second++) {
    tick(host, root);
    for (const call of [...host.calls]) {
      for (const { destination } of decodeReport(call.body).entries) {
        told.add(Object.values(destination).join(' '));
      }
      host.respond(call, { ':status': '204' });
    }
  }
  return told;
}

test.each<[string, string, () => Stream]>([
  ['request', `cluster ${socket}`, () => knownRequest(host, socket)],
  ['known connection', 'tcp 10.0.0.1:3306', () => host.connect('10.0.0.1:3306', '')],
  [
    'request that was held in vain and went another way',
    `http reviews ${address}`,
    () => {
      const unknown = {
        'xds\0cluster_name': 'PassthroughCluster',
        'destination\0address': address,
      };
      const headers = { ':method': 'GET', ':path': '/events', ':authority': 'reviews' };
      const held = host.request(unknown, headers, true);
      answer(host, hold);
      const stream = host.redirect(held, unknown);
      answer(host, gateway);
      return stream;
    },
  ],
  [
    'connection that was unknown when it began',
    'tcp 10.0.0.1:3306',
    () => {
      const stream = host.connect('10.0.0.1:3306');
      answer(host, gateway);
      return stream;
    },
  ],
])('an open %s is reported again and again until it ends, even if it is silent', (_, key, open) => {
  const stream = open();
  nextReport(host, root);
  expect(toldWithin(80)).toEqual(new Set([key]));
  expect(toldWithin(80)).toEqual(new Set([key]));
  host.close(stream);
  toldWithin(80);
  expect(toldWithin(200)).toEqual(new Set());
});

test('a connection that Istio knows is counted by its address, without a question', () => {
  expect(host.connect('10.0.0.1:3306', '').paused).toBe(false);
  expect(host.connect('10.0.0.1:3306', 'outbound|3306||db').paused).toBe(false);
  const { entries, totals } = nextReport(host, root);
  expect(entries).toEqual([{ destination: { kind: 'tcp', address: '10.0.0.1:3306' }, count: 2n }]);
  expect(totals).toMatchObject({ connections: 2n, asked: 0n, fallbacks: 0n });
});

test('destinations in use outlive unused ones, for any number of destinations', () => {
  knownRequest(host, socket);
  for (let i = 0; i < 100_000; i++) host.close(knownRequest(host, `outbound|80||host-${i}`));
  nextReport(host, root);
  expect(toldWithin(120)).toContain(`cluster ${socket}`);
});

test('streams beyond the bound of open streams are still counted', () => {
  const streams = Array.from({ length: 10_000 }, () => knownRequest(host, socket));
  expect(nextReport(host, root).entries[0]?.count).toBe(10_000n);
  for (const stream of streams) host.close(stream);
  toldWithin(80);
  expect(toldWithin(200)).toEqual(new Set());
});

test('no number of streams to one destination hides the open stream to another', () => {
  for (let i = 0; i < 10_000; i++) knownRequest(host, 'outbound|80||busy.app.svc.cluster.local');
  knownRequest(host, socket);
  expect(nextReport(host, root).totals.lost).toBe(0n);
  expect(toldWithin(120)).toContain(`cluster ${socket}`);
});

test('destinations with open streams beyond the size of the table are reported as lost', () => {
  for (let i = 0; i < 30; i++) {
    for (let n = 0; n < 100; n++) knownRequest(host, `outbound|80||host-${i}-${n}`);
    nextReport(host, root);
  }
  expect(nextReport(host, root).totals.lost).toBeGreaterThan(0n);
});
