import { beforeEach, expect, test } from 'vitest';
import {
  address,
  answer,
  direct,
  gateway,
  knownRequest,
  markOf,
  nextReport,
  passthrough,
  second,
  tick,
  unknownRequest,
} from './calls.ts';
import { Host } from './host.ts';

let host: Host;
let root: number;

beforeEach(() => {
  host = new Host();
  root = host.configure({ mode: 'http' });
});

const sniKey = 'envoy.network.upstream_server_name';
const identitiesKey = 'envoy.network.upstream_subject_alt_names';

test('an unknown request waits, and the question contains authority and destination', () => {
  const stream = unknownRequest(host, 'reviews:9080');
  expect(stream.paused).toBe(true);
  const { cluster, timeout, headers, body } = host.call('/v1/resolve');
  expect([cluster, timeout, body.length]).toEqual(['lazyscope-node', 200, 0]);
  expect(headers).toEqual({
    ':method': 'GET',
    ':path': '/v1/resolve',
    ':authority': 'lazyscope-node',
    'x-lazyscope-call': 'http',
    'x-lazyscope-authority': 'reviews:9080',
    'x-lazyscope-destination': address,
  });
});

test('a question says how long the one before took, in microseconds, and says it once', () => {
  const took = () => host.call('/v1/resolve').headers['x-lazyscope-took'];
  unknownRequest(host, 'reviews:9080');
  expect(took()).toBeUndefined();
  host.now += 1_234_567n;
  answer(host, gateway);
  unknownRequest(host, 'ratings:9080');
  expect(took()).toBe('1234');
  answer(host, gateway);
  unknownRequest(host, 'details:9080');
  expect(took()).toBeUndefined();
});

test('a question whose time a step of the clock makes too long is told as nothing', () => {
  unknownRequest(host, 'reviews:9080');
  host.now -= 5n * second;
  answer(host, gateway);
  unknownRequest(host, 'ratings:9080');
  expect(host.call('/v1/resolve').headers['x-lazyscope-took']).toBeUndefined();
});

test.each([
  ['gateway', gateway, 'lazyscope-egress', '11'],
  ['direct', direct, 'lazyscope-direct', undefined],
])('%s marks the request and pins the server for this request alone', (...row) => {
  const [, headers, cluster, retries] = row;
  const stream = unknownRequest(host, 'reviews');
  answer(host, headers);
  expect([stream.continued, markOf(stream)]).toEqual([1, cluster]);
  expect(stream.headers['x-envoy-max-retries']).toBe(retries);
  expect(stream.filterState.get(sniKey)).toEqual({ value: gateway['x-lazyscope-sni'], span: 0 });
  const identities = { value: gateway['x-lazyscope-identities'], span: 0 };
  expect(stream.filterState.get(identitiesKey)).toEqual(identities);
});

const retriesByDefault = {
  'x-lazyscope-retries': '2',
  'x-lazyscope-retry-grpc-on': 'unavailable,cancelled',
};
const retriesOfMesh = {
  ...retriesByDefault,
  'x-lazyscope-retries': '3',
  'x-lazyscope-retry-on': '5xx,retriable-status-codes',
  'x-lazyscope-retry-codes': '429',
  'x-lazyscope-retry-timeout': '1500',
};
const grpc = { 'content-type': 'application/grpc' };
const byGrpc = { 'x-envoy-retry-grpc-on': 'unavailable,cancelled' };
const byMesh = {
  'x-envoy-max-retries': '3',
  'x-envoy-retry-on': '5xx,retriable-status-codes',
  'x-envoy-retriable-status-codes': '429',
  'x-envoy-upstream-rq-per-try-timeout-ms': '1500',
};

/** The gateway gets more attempts only as long as nothing that a server answered is repeated. */
test.each([
  ['gateway', {}, grpc, { 'x-envoy-max-retries': '11' }],
  ['gateway', retriesByDefault, {}, { 'x-envoy-max-retries': '11' }],
  ['gateway', retriesByDefault, grpc, { 'x-envoy-max-retries': '2', ...byGrpc }],
  ['direct', retriesByDefault, grpc, { 'x-envoy-max-retries': '2', ...byGrpc }],
  ['gateway', retriesOfMesh, {}, byMesh],
  ['direct', retriesOfMesh, grpc, { ...byMesh, ...byGrpc }],
  ['direct', { ...retriesOfMesh, 'x-lazyscope-retry-on': 'x'.repeat(513) }, grpc, {}],
  ['direct', {}, grpc, {}],
])('by the %s, %j repeats a request with %j by %j', (way, policy, sent, expected) => {
  const stream = unknownRequest(host, 'reviews', sent);
  answer(host, { ...(way === 'gateway' ? gateway : direct), ...policy });
  const retries = Object.entries(stream.headers).filter(([name]) => name.startsWith('x-envoy-'));
  expect(Object.fromEntries(retries)).toEqual(expected);
});

test('a destination without a policy takes none from another', () => {
  unknownRequest(host, 'ratings');
  answer(host, { ...direct, ...retriesOfMesh });
  const stream = unknownRequest(host, 'reviews');
  answer(host, direct);
  expect(stream.headers).not.toHaveProperty('x-envoy-retry-on');
});

test('passthrough leaves the request untouched, even if no route has a cluster', () => {
  const allowed = unknownRequest(host, 'example.com');
  answer(host, passthrough);
  const blocked = host.request(
    { 'xds\0virtual_host_name': 'block_all', 'destination\0address': address },
    { ':method': 'GET', ':authority': 'example.com' },
  );
  expect([allowed.continued, markOf(allowed), allowed.filterState.size]).toEqual([1, undefined, 0]);
  expect([blocked.paused, markOf(blocked)]).toEqual([false, undefined]);
});

test.each(['BlackHoleCluster', 'PassthroughCluster', 'AllowAnyDynamicDNSCluster'])(
  '%s is an unknown destination',
  (cluster) => {
    expect(unknownRequest(host, 'a', {}, { cluster }).paused).toBe(true);
  },
);

test.each(['allow_any', 'block_all', 'allow_any_dynamic_dns'])(
  'a request in the virtual host %s is unknown, whatever its cluster: an egressProxy is no destination',
  (name) => {
    const cluster = 'outbound|3128||squid.outside.svc.cluster.local';
    const catchAll = { 'xds\0virtual_host_name': name, 'destination\0address': address };
    const stream = host.request(
      { ...catchAll, 'xds\0cluster_name': cluster },
      { ':authority': 'a' },
    );
    expect(stream.paused).toBe(true);
    answer(host, passthrough);
    expect([stream.continued, markOf(stream)]).toEqual([1, undefined]);
  },
);

test.each(['block_all', 'allow_any'])('a route of %s without a cluster is unknown', (name) => {
  const properties = { 'xds\0virtual_host_name': name, 'destination\0address': address };
  const stream = host.request(properties, { ':method': 'GET', ':authority': 'a' });
  expect(stream.paused).toBe(true);
});

test('a request without a route is left alone', () => {
  const stream = host.request({ 'destination\0address': address }, { ':authority': 'a' });
  expect([stream.paused, host.calls.length]).toEqual([false, 0]);
});

test('requests to one destination share a question; another destination has its own', () => {
  const streams = [1, 2, 3].map(() => unknownRequest(host, 'reviews'));
  const others = [unknownRequest(host, 'ratings')];
  others.push(unknownRequest(host, 'reviews', {}, { destination: '10.0.0.8:80' }));
  expect(host.calls.length).toBe(3);
  answer(host, gateway);
  expect(streams.map((s) => s.continued)).toEqual([1, 1, 1]);
  expect(others.map((s) => s.continued)).toEqual([0, 0]);
});

test('a fresh answer is used without a question until its TTL is over', () => {
  unknownRequest(host, 'reviews');
  answer(host, { ...gateway, 'x-lazyscope-ttl': '2' });
  host.now += second;
  const soon = unknownRequest(host, 'reviews');
  expect([soon.paused, markOf(soon), host.calls.length]).toEqual([false, 'lazyscope-egress', 0]);
  host.now += second;
  expect(unknownRequest(host, 'reviews').paused).toBe(true);
});

test('a clock that jumps back ends the freshness of an answer', () => {
  unknownRequest(host, 'reviews');
  answer(host, gateway);
  host.now -= 3600n * second;
  expect(unknownRequest(host, 'reviews').paused).toBe(true);
});

test('a clock that jumps back does not suppress questions about a destination', () => {
  unknownRequest(host, 'reviews');
  answer(host);
  expect(unknownRequest(host, 'reviews').paused).toBe(false);
  host.now -= 3600n * second;
  expect(unknownRequest(host, 'reviews').paused).toBe(true);
});

test('without an answer the last known one is used, and the filter asks nothing for a second', () => {
  unknownRequest(host, 'reviews');
  answer(host, { ...gateway, 'x-lazyscope-ttl': '1' });
  host.now += 5n * second;
  const waiting = unknownRequest(host, 'reviews');
  answer(host);
  expect([waiting.continued, markOf(waiting)]).toEqual([1, 'lazyscope-egress']);
  const next = unknownRequest(host, 'reviews');
  expect([next.paused, markOf(next)]).toEqual([false, 'lazyscope-egress']);
  host.now += second;
  expect(unknownRequest(host, 'reviews').paused).toBe(true);
  answer(host, gateway);
  expect(nextReport(host, root).totals).toMatchObject({ asked: 3n, answered: 2n, stale: 2n });
});

test('a stream that ended is skipped, and the others continue', () => {
  const [first, gone, last] = [1, 2, 3].map(() => unknownRequest(host, 'reviews'));
  if (gone !== undefined) host.close(gone);
  answer(host, gateway);
  expect([first?.continued, gone?.continued, last?.continued]).toEqual([1, 0, 1]);
  expect(nextReport(host, root).totals.errors).toBe(0n);
});

test('a waiting stream gets the answer even if the scope went live meanwhile', () => {
  const waiting = unknownRequest(host, 'reviews');
  knownRequest(host, 'outbound|9080||reviews.app.svc.cluster.local');
  answer(host, gateway);
  expect(markOf(waiting)).toBe('lazyscope-egress');
});

test('the timer ends a question that Envoy lost', () => {
  const stream = unknownRequest(host, 'reviews');
  host.calls.length = 0;
  tick(host, root);
  tick(host, root);
  expect([stream.continued, markOf(stream)]).toEqual([1, undefined]);
  expect(unknownRequest(host, 'reviews').paused).toBe(false);
});

test('a reply without a waiting stream is ignored', () => {
  unknownRequest(host, 'reviews');
  const call = host.call('/v1/resolve');
  host.respond(call, gateway);
  host.respond({ ...call, token: call.token }, gateway);
  host.respond({ ...call, token: 4_000_000_000 });
  expect(nextReport(host, root).totals.answered).toBe(1n);
});

test.each([
  ['another status', { ...gateway, ':status': '404' }],
  ['no status', { ...gateway, ':status': undefined }],
  ['an unknown strategy', { ...gateway, 'x-lazyscope-strategy': 'teleport' }],
  ['no time to live', { ...gateway, 'x-lazyscope-ttl': undefined }],
  ['no time', { ...gateway, 'x-lazyscope-ttl': '0' }],
  ['too long a time', { ...gateway, 'x-lazyscope-ttl': '3601' }],
  ['a time that is none', { ...gateway, 'x-lazyscope-ttl': '-1' }],
  ['no SNI', { ...gateway, 'x-lazyscope-sni': undefined }],
  ['too long an SNI', { ...gateway, 'x-lazyscope-sni': 'a'.repeat(400) }],
  ['too many identities', { ...gateway, 'x-lazyscope-identities': 'a'.repeat(2049) }],
  ['hold without otherwise', { ...gateway, 'x-lazyscope-strategy': 'hold' }],
])('%s counts as no answer', (_, headers) => {
  const stream = unknownRequest(host, 'reviews');
  const given = Object.entries(headers).filter(([, value]) => value !== undefined);
  answer(host, Object.fromEntries(given) as { [name: string]: string });
  expect([stream.continued, markOf(stream)]).toEqual([1, undefined]);
});

test('the filter ignores additional headers of a later companion', () => {
  const stream = unknownRequest(host, 'reviews');
  answer(host, { ...gateway, 'x-lazyscope-weight': '7', 'x-lazyscope-otherwise': 'teleport' });
  expect([stream.continued, markOf(stream)]).toEqual([1, 'lazyscope-egress']);
});

test('the question about a TCP connection contains its destination, and the answer sets its cluster', () => {
  host.configure({ mode: 'tcp' });
  const stream = host.connect('10.0.0.9:3306');
  expect(stream.paused).toBe(true);
  const { headers } = host.call('/v1/resolve');
  expect(headers['x-lazyscope-call']).toBe('tcp');
  expect(headers['x-lazyscope-destination']).toBe('10.0.0.9:3306');
  expect(headers['x-lazyscope-authority']).toBeUndefined();
  answer(host, direct);
  expect(stream.continued).toBe(1);
  expect(Object.fromEntries(stream.filterState)).toEqual({
    'envoy.tcp_proxy.cluster': { value: 'lazyscope-direct', span: 2 },
    [sniKey]: { value: direct['x-lazyscope-sni'], span: 2 },
    [identitiesKey]: { value: direct['x-lazyscope-identities'], span: 2 },
  });
});

test('streams of an old and a new configuration wait together', () => {
  const old = unknownRequest(host, 'reviews');
  host.configure({ mode: 'http', flushSeconds: 1 });
  const young = unknownRequest(host, 'reviews');
  expect(host.calls.length).toBe(1);
  answer(host, gateway);
  expect([old.continued, young.continued]).toEqual([1, 1]);
});

test('when the root that asked is gone, the next root asks again', () => {
  const old = unknownRequest(host, 'reviews');
  const next = host.configure({ mode: 'http' });
  host.removeRoot(root);
  host.close(old);
  const waiting = unknownRequest(host, 'reviews');
  tick(host, next, 2n);
  expect(waiting.continued).toBe(1);
  tick(host, next, 2n);
  expect(unknownRequest(host, 'reviews').paused).toBe(true);
  answer(host, gateway);
});
