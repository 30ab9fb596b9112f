import { beforeEach, expect, test } from 'vitest';
import { address, answer, direct, gateway, markOf, nextReport, second } from './calls.ts';
import { type Headers, Host, type Stream } from './host.ts';

let host: Host;
let root: number;

/** A known virtual host of which no route matches. */
const routeless = {
  'xds\0virtual_host_name': 'reviews.app.svc.cluster.local:9080',
  'destination\0address': address,
};
/** A known virtual host whose route names a missing cluster. */
const clusterless = { ...routeless, 'xds\0route_metadata': '' };
const answers = {
  ...clusterless,
  'xds\0route_metadata\0filter_metadata\0lazyscope\0answers': '\x01',
};
const known = { 'xds\0cluster_name': 'outbound|9080||reviews.app.svc.cluster.local' };
const plainHeaders = { ':method': 'GET', ':path': '/', ':authority': 'reviews' };

beforeEach(() => {
  host = new Host();
  root = host.configure({ holdSeconds: 2 });
});

function request(headers: Headers = {}, endOfStream = true, properties: object = clusterless) {
  return host.request({ ...properties }, { ...plainHeaders, ...headers }, endOfStream);
}

/** Has the companion accept a report, so that the filter counts the companion as alive. */
function companionAnswers(): void {
  nextReport(host, root);
}

/** Counts the rounds of 50 ms through the companion until the filter releases the request. */
function roundsOf(first: Stream): number {
  let stream = first;
  let rounds = 0;
  for (; rounds < 100 && markOf(stream) === 'lazyscope-hold'; rounds++) {
    host.now += second / 20n;
    stream = host.redirect(stream, clusterless);
  }
  expect(stream.headers).toEqual(plainHeaders);
  return rounds;
}

const unheld: [string, Headers, boolean][] = [
  ['a gRPC call', { 'content-type': 'application/grpc' }, false],
  ['an upgrade', { upgrade: 'websocket' }, true],
  ['a tunnel', { ':method': 'CONNECT' }, true],
  ['a method of its own', { ':method': 'REINDEX' }, true],
  ['a part of a method', { ':method': 'GE' }, true],
  ['announced trailers', { trailer: 'x-checksum', 'content-length': '4' }, false],
  ['a body of unknown length', {}, false],
];
const websocket: Headers = { upgrade: 'websocket' };

test('a request whose route lacks its cluster is redirected through the companion until the cluster exists', () => {
  companionAnswers();
  const stream = request();
  expect([stream.paused, markOf(stream)]).toEqual([false, 'lazyscope-hold']);
  expect(host.redirect(stream, known).headers).toEqual(plainHeaders);
});

test.each([
  ['a route that answers by itself', answers],
  ['a request that no route matches', routeless],
])('%s is left alone, and counts as used under the called name', (_, properties) => {
  companionAnswers();
  const stream = request({}, true, properties);
  expect([stream.paused, stream.headers]).toEqual([false, plainHeaders]);
  const upgrade = request(websocket, true, properties);
  expect([upgrade.paused, markOf(upgrade)]).toEqual([false, undefined]);
  const destination = { kind: 'http', authority: 'reviews', address };
  expect(nextReport(host, root).entries).toEqual([{ destination, count: 2n }]);
});

test('a route to a cluster that never comes is recognized within a second and then left alone', () => {
  companionAnswers();
  expect(roundsOf(request())).toBe(20);
  expect(roundsOf(request())).toBe(0);
  host.now += 9n * second;
  expect(roundsOf(request())).toBe(0);
  host.now += 20n * second;
  expect(roundsOf(request())).toBe(20);
});

test('consecutive gaps are each bridged', () => {
  companionAnswers();
  for (let gap = 0; gap < 5; gap++) {
    const stream = request();
    expect(markOf(stream)).toBe('lazyscope-hold');
    host.now += second / 5n;
    host.redirect(stream, known);
    host.now += second / 2n;
  }
});

test('after a clock jump of hours no route is left alone for hours', () => {
  companionAnswers();
  roundsOf(request());
  host.now -= 7200n * second;
  companionAnswers();
  expect(markOf(request())).toBe('lazyscope-hold');
});

test.each(unheld)(
  '%s cannot be redirected, so the filter asks about it and steers it',
  (_what, headers, end) => {
    companionAnswers();
    const stream = request(headers, end);
    expect(stream.paused).toBe(true);
    answer(host, gateway);
    expect([stream.continued, markOf(stream)]).toEqual([1, 'lazyscope-egress']);
    expect(stream.filterState.get('envoy.network.upstream_server_name')?.value).toBe(
      gateway['x-lazyscope-sni'],
    );
    expect(nextReport(host, root).entries).toMatchObject([
      { destination: { kind: 'http', authority: 'reviews', address }, count: 1n },
    ]);
  },
);

test('the filter does not ask again about an answered destination', () => {
  const first = request(websocket);
  answer(host, direct);
  const second = request(websocket);
  expect([first, second].map(markOf)).toEqual(['lazyscope-direct', 'lazyscope-direct']);
  expect(host.calls.filter((call) => call.headers[':path'] === '/v1/resolve')).toEqual([]);
});

test('streams to a missing cluster fail as without the filter, from the second second on', () => {
  answerLate(request(websocket));
  for (let i = 1; i <= 8; i++) {
    host.now += second / 5n;
    const stream = request(websocket);
    expect([stream.paused, markOf(stream)]).toEqual([
      false,
      i < 5 ? 'lazyscope-direct' : undefined,
    ]);
  }
});

function answerLate(stream: Stream): void {
  expect(stream.paused).toBe(true);
  answer(host, direct);
}

test('no request is redirected through a companion that was silent lately; the filter asks instead', () => {
  expect(request().paused).toBe(true);
  answer(host, direct);
  companionAnswers();
  expect(markOf(request({ ':authority': 'ratings' }))).toBe('lazyscope-hold');
  host.now += 91n * second;
  expect(request({ ':authority': 'details' }).paused).toBe(true);
});

test('without an answer a request gets Envoy’s own answer', () => {
  const stream = request(websocket);
  answer(host);
  expect([stream.continued, markOf(stream)]).toEqual([1, undefined]);
});
