import { beforeEach, expect, test } from 'vitest';
import { address, answer, hold, markOf, nextReport, second, unknownRequest } from './calls.ts';
import { type Headers, Host, type Stream } from './host.ts';

let host: Host;
let root: number;

beforeEach(() => {
  host = new Host();
  root = host.configure({ holdSeconds: 2 });
});

const unknown = { 'xds\0cluster_name': 'PassthroughCluster', 'destination\0address': address };
const known = { 'xds\0cluster_name': 'outbound|9080||reviews.app.svc.cluster.local' };

function heldRequest(headers: Headers = {}, endOfStream = true): Stream {
  const stream = host.request(
    unknown,
    { ':method': 'GET', ':path': '/', ':authority': 'reviews', ...headers },
    endOfStream,
  );
  if (stream.paused) answer(host, hold);
  return stream;
}

test('a request is sent to be held with its destination, which replaces a forged one', () => {
  const stream = heldRequest({ 'x-lazyscope-destination': '1.2.3.4:5' });
  expect(markOf(stream)).toBe('lazyscope-hold');
  expect(stream.headers['x-lazyscope-destination']).toBe(address);
  expect(stream.filterState.size).toBe(0);
});

test('a request that comes back to a live route continues without headers of the hold', () => {
  const stream = heldRequest();
  stream.headers['x-envoy-original-url'] = 'http://reviews/';
  const again = host.redirect(stream, known);
  expect(again.paused).toBe(false);
  expect(again.headers).toEqual({ ':method': 'GET', ':path': '/', ':authority': 'reviews' });
  host.counts.clear();
  host.request(known, { ':method': 'GET', ':authority': 'reviews' });
  expect([...host.counts]).toEqual([['env.proxy_get_property', 2]]);
});

test('a request that comes back too early is held again until its deadline', () => {
  let stream = heldRequest();
  let rounds = 0;
  for (; rounds < 100 && markOf(stream) === 'lazyscope-hold'; rounds++) {
    host.now += second / 10n;
    stream = host.redirect(stream, unknown);
    answer(host, hold);
  }
  expect([rounds, markOf(stream)]).toEqual([20, 'lazyscope-direct']);
  expect(stream.headers['x-lazyscope-destination']).toBeUndefined();
});

test.each([
  [2, 40],
  [10, 184],
])('in %i seconds there are at most %i rounds, even short ones', (holdSeconds, most) => {
  root = host.configure({ holdSeconds });
  let stream = heldRequest();
  let rounds = 0;
  for (; rounds < 300 && markOf(stream) === 'lazyscope-hold'; rounds++) {
    stream = host.redirect(stream, unknown);
    answer(host, hold);
  }
  expect([rounds, markOf(stream)]).toEqual([most, 'lazyscope-direct']);
});

test('a clock that jumps back ends the hold', () => {
  const stream = heldRequest();
  host.now -= 3600n * second;
  const again = host.redirect(stream, unknown);
  answer(host, hold);
  expect(markOf(again)).toBe('lazyscope-direct');
});

test('every round asks, so that a missing companion holds no request', () => {
  const stream = heldRequest();
  const again = host.redirect(stream, unknown);
  expect(again.paused).toBe(true);
  answer(host);
  expect(markOf(again)).toBe('lazyscope-direct');
  const next = heldRequest();
  expect([next.paused, markOf(next)]).toEqual([false, 'lazyscope-direct']);
});

test.each([
  ['CONNECT', { ':method': 'CONNECT' }, true],
  ['an upgrade', { upgrade: 'websocket' }, true],
  ['gRPC', { 'content-type': 'application/grpc+proto', 'content-length': '5' }, false],
  ['a body of unknown size', { ':method': 'POST' }, false],
  ['a body of 65,537 bytes', { ':method': 'POST', 'content-length': '65537' }, false],
  ['a body size that is none', { ':method': 'POST', 'content-length': '1e3' }, false],
  ['a host with an underscore', { ':authority': 'a_b' }, true],
  ['a host with user info', { ':authority': 'user@host' }, true],
  ['a host without a name', { ':authority': ':80' }, true],
  ['an empty port', { ':authority': 'a:' }, true],
  ['port 0', { ':authority': 'a:0' }, true],
  ['port 65536', { ':authority': 'a:65536' }, true],
  ['an address with a zone', { ':authority': '[fe80::1%eth0]:80' }, true],
  ['an open bracket', { ':authority': '[::1' }, true],
  ['text after the bracket', { ':authority': '[::1]a80' }, true],
  ['an empty path', { ':path': '' }, true],
  ['a path of a star', { ':path': '*' }, true],
  ['a fragment', { ':path': '/a#b' }, true],
  ['a path beyond ASCII', { ':path': '/\u00e4' }, true],
])('%s is not held', (_, headers, endOfStream) => {
  expect(markOf(heldRequest(headers, endOfStream))).toBe('lazyscope-direct');
});

test.each([
  ['GET without body', {}, true],
  ['a body of 65,536 bytes', { ':method': 'POST', 'content-length': '65536' }, false],
  ['POST without body', { ':method': 'POST' }, true],
  ['a host in capitals', { ':authority': 'REVIEWS.App-1:65535' }, true],
  ['an IPv6 address', { ':authority': '[fd00::7]:9080' }, true],
  ['an IPv6 address alone', { ':authority': '[::]' }, true],
  ['any visible path', { ':path': '/~!$%&\'()*+,;=:@|{}[]<>^`"?/' }, true],
])('%s is held', (_, headers, endOfStream) => {
  expect(markOf(heldRequest(headers, endOfStream))).toBe('lazyscope-hold');
});

test('each waiting request is decided by itself', () => {
  const small = unknownRequest(host, 'reviews');
  const stream = unknownRequest(host, 'reviews', { ':method': 'POST' }, { endOfStream: false });
  answer(host, hold);
  expect([markOf(small), markOf(stream)]).toEqual(['lazyscope-hold', 'lazyscope-direct']);
});

test('no request is held if its state would not survive the redirect', () => {
  host = new Host();
  host.fail = (name) => (name === 'env.proxy_call_foreign_function' ? 1 : undefined);
  root = host.configure({});
  host.fail = () => undefined;
  expect(markOf(heldRequest())).toBe('lazyscope-direct');
});

test('holdSeconds 0 holds nothing', () => {
  root = host.configure({ holdSeconds: 0 });
  expect(markOf(heldRequest())).toBe('lazyscope-direct');
});

test('a connection is never held', () => {
  const stream = host.connect(address);
  answer(host, hold);
  expect(stream.filterState.get('envoy.tcp_proxy.cluster')?.value).toBe('lazyscope-direct');
});

test('a held request is counted once, and its rounds are counted separately', () => {
  const stream = heldRequest();
  host.redirect(stream, unknown);
  answer(host, hold);
  const { entries, totals } = nextReport(host, root);
  expect(entries).toEqual([
    { destination: { kind: 'http', authority: 'reviews', address }, count: 1n },
  ]);
  expect(totals).toMatchObject({ requests: 2n, held: 2n, asked: 2n });
});

test('a request lost in a hold does not limit the others permanently', () => {
  host.close(heldRequest());
  host.now += 61n * second;
  host.tick(root);
  host.counts.clear();
  host.request(known, { ':method': 'GET', ':authority': 'reviews' });
  expect([...host.counts]).toEqual([['env.proxy_get_property', 2]]);
});
