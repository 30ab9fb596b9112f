import { beforeEach, expect, test } from 'vitest';
import {
  answer,
  gateway,
  knownRequest,
  markOf,
  nextReport,
  passthrough,
  tick,
  unknownRequest,
} from './calls.ts';
import { Host } from './host.ts';

let host: Host;
let root: number;

beforeEach(() => {
  host = new Host();
  root = host.configure();
});

const totals = () => nextReport(host, root).totals;

test.each([513, 60_000, 300_000])(
  'an authority of %i bytes takes the fallback without a question',
  (size) => {
    const stream = unknownRequest(host, 'a'.repeat(size));
    expect([stream.paused, markOf(stream), host.calls.length]).toEqual([false, undefined, 0]);
    expect(totals()).toMatchObject({ overflow: 1n, fallbacks: 1n });
  },
);

test('the filter asks about an authority of 512 bytes', () => {
  const authority = 'a'.repeat(512);
  expect(unknownRequest(host, authority).paused).toBe(true);
  expect(host.call('/v1/resolve').headers['x-lazyscope-authority']).toBe(authority);
});

test('a request without authority takes the fallback without a question', () => {
  const stream = host.request(
    { 'xds\0cluster_name': 'PassthroughCluster', 'destination\0address': '10.0.0.1:1' },
    { ':method': 'GET', ':path': '/' },
  );
  expect(stream.paused).toBe(false);
  expect(totals()).toMatchObject({ overflow: 1n, fallbacks: 1n });
});

test.each([353, 5_000, 300_000])(
  'a request with a cluster name of %i bytes passes and is counted',
  (size) => {
    expect(knownRequest(host, 'c'.repeat(size)).paused).toBe(false);
    const { overflow, errors } = totals();
    expect(overflow + errors).toBe(1n);
  },
);

test('the longest answer is applied to every waiter', () => {
  const identities = 'spiffe://cluster.local/'.padEnd(2048, 'x');
  const streams = Array.from({ length: 512 }, () => unknownRequest(host, 'reviews'));
  answer(host, { ...gateway, 'x-lazyscope-identities': identities });
  for (const stream of streams) {
    const state = stream.filterState.get('envoy.network.upstream_subject_alt_names');
    expect([stream.continued, state?.value]).toEqual([1, identities]);
  }
  expect(totals().errors).toBe(0n);
});

test('at most 512 streams wait; the next takes the fallback at once, and answers make room again', () => {
  const streams = Array.from({ length: 513 }, () => unknownRequest(host, 'reviews'));
  expect(streams.filter((s) => s.paused).length).toBe(512);
  expect(streams.at(-1)?.paused).toBe(false);
  answer(host, { ...passthrough, 'x-lazyscope-ttl': '1' });
  expect(streams.filter((s) => s.continued === 1).length).toBe(512);
  expect(totals()).toMatchObject({ overflow: 1n, fallbacks: 1n });
  host.now += 10_000_000_000n;
  const again = Array.from({ length: 512 }, () => unknownRequest(host, 'reviews'));
  expect(again.every((s) => s.paused)).toBe(true);
});

test('at most 64 questions are open; the next destination takes the fallback at once', () => {
  const streams = Array.from({ length: 80 }, (_, i) => unknownRequest(host, `host-${i}`));
  expect(host.calls.length).toBeLessThanOrEqual(64);
  expect(streams.filter((s) => s.paused).length).toBe(host.calls.length);
  for (const call of [...host.calls]) host.respond(call, gateway);
  expect(streams.filter((s) => s.paused && s.continued !== 1)).toEqual([]);
  expect(unknownRequest(host, 'host-79').paused).toBe(true);
});

test('10,000 distinct authorities each get a question, in bounded memory, and none is stuck', () => {
  const pages = host.memory.pages();
  for (let i = 0; i < 10_000; i++) {
    const stream = unknownRequest(host, `host-${i}.example.com`);
    expect(stream.paused).toBe(true);
    answer(host, passthrough);
    expect(stream.continued).toBe(1);
    host.close(stream);
  }
  expect(host.memory.pages()).toBe(pages);
  const { entries, totals: counts } = nextReport(host, root);
  expect(entries.length).toBeLessThanOrEqual(512);
  expect(counts.asked).toBe(10_000n);
  expect(counts.lost).toBe(10_000n - BigInt(entries.length));
});

test('the most recently used destination stays when others come', () => {
  unknownRequest(host, 'favourite');
  answer(host, gateway);
  for (let i = 0; i < 3_000; i++) {
    unknownRequest(host, `host-${i}`);
    answer(host, passthrough);
    expect(unknownRequest(host, 'favourite').paused).toBe(false);
  }
});

test('a destination whose question is open is never evicted', () => {
  const waiting = unknownRequest(host, 'waiting');
  for (let i = 0; i < 3_000; i++) {
    unknownRequest(host, `host-${i}`);
    const call = host.calls.find((c) => c.headers['x-lazyscope-authority'] === `host-${i}`);
    if (call !== undefined) host.respond(call, passthrough);
  }
  answer(host, gateway);
  expect([waiting.continued, markOf(waiting)]).toEqual([1, 'lazyscope-egress']);
  expect(unknownRequest(host, 'waiting').paused).toBe(false);
});

test.each([65_537, 2 ** 31, 2 ** 32 - 1, 2 ** 32 - 16])('%i bytes are not allocated', (size) => {
  expect(host.malloc(16)).not.toBe(0);
  expect(host.malloc(size)).toBe(0);
});

test('clusters that come and go for years do not fill the table permanently', () => {
  for (let generation = 0; generation < 50; generation++) {
    for (let i = 0; i < 300; i++)
      host.close(knownRequest(host, `outbound|80||service-${generation}-${i}`));
    const { entries } = nextReport(host, root);
    expect(entries.length).toBeGreaterThan(280);
    tick(host, root);
  }
});
