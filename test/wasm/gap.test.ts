import { beforeEach, expect, test } from 'vitest';
import { address, markOf, nextReport, second } from './calls.ts';
import { type Headers, Host, type Stream } from './host.ts';

let host: Host;
let root: number;

/** A known virtual host whose route has no cluster at this moment, or by intention. */
const clusterless = {
  'xds\0virtual_host_name': 'reviews.app.svc.cluster.local:9080',
  'destination\0address': address,
};
const known = { 'xds\0cluster_name': 'outbound|9080||reviews.app.svc.cluster.local' };

beforeEach(() => {
  host = new Host();
  root = host.configure({ holdSeconds: 2 });
});

function request(headers: Headers = {}, endOfStream = true): Stream {
  const all = { ':method': 'GET', ':path': '/', ':authority': 'reviews', ...headers };
  return host.request(clusterless, all, endOfStream);
}

/** The companion has taken a report, so it is known to live. */
function companionAnswers(): void {
  nextReport(host, root);
}

test('a request whose route lacks its cluster goes round by the companion, and on when it is there', () => {
  companionAnswers();
  const stream = request();
  expect([stream.paused, markOf(stream)]).toEqual([false, 'lazyscope-hold']);
  const again = host.redirect(stream, known);
  expect(again.headers).toEqual({ ':method': 'GET', ':path': '/', ':authority': 'reviews' });
});

test('a route that answers by itself is found out within a quarter of a second, then left alone', () => {
  companionAnswers();
  let stream = request();
  let rounds = 0;
  for (; rounds < 100 && markOf(stream) === 'lazyscope-hold'; rounds++) {
    host.now += second / 20n;
    stream = host.redirect(stream, clusterless);
  }
  expect(rounds).toBe(5);
  expect(stream.headers).toEqual({ ':method': 'GET', ':path': '/', ':authority': 'reviews' });
  expect(markOf(request())).toBeUndefined();
  host.now += 61n * second;
  companionAnswers();
  expect(markOf(request())).toBe('lazyscope-hold');
});

test.each([
  ['a gRPC call', { 'content-type': 'application/grpc' }, false],
  ['an upgrade', { upgrade: 'websocket' }, true],
  ['a body of unknown length', {}, false],
])('%s cannot go round and is left alone', (_what, headers, endOfStream) => {
  companionAnswers();
  const stream = request(headers as Headers, endOfStream);
  expect([stream.paused, markOf(stream)]).toEqual([false, undefined]);
});

test('nothing goes round by a companion that has not been heard of lately', () => {
  expect(markOf(request())).toBeUndefined();
  companionAnswers();
  expect(markOf(request())).toBe('lazyscope-hold');
  host.now += 91n * second;
  expect(markOf(request({ ':authority': 'ratings' }))).toBeUndefined();
});
