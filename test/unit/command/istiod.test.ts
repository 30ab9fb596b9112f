import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  byLabel,
  compareVersions,
  countAbove,
  durationIn,
  quantileOf,
  readMetrics,
  totalOf,
  versionIn,
} from '../../../command/mesh/istiod.ts';
import { between, reachOf, sinceStart } from '../../../command/mesh/istiod-reading.ts';
import { changed, later, recorded } from '../../recorded/istiod-metrics.ts';

const metrics = readMetrics(`
# HELP pilot_proxy_queue_time Time in seconds
# TYPE pilot_proxy_queue_time histogram
pilot_proxy_queue_time_bucket{le="0.1"} 50
pilot_proxy_queue_time_bucket{le="1"} 90
pilot_proxy_queue_time_bucket{le="+Inf"} 100
pilot_proxy_queue_time_sum 12
pilot_proxy_queue_time_count 100
pilot_xds{version="1.31.0"} 3
pilot_xds{version="1.30.2"} 4
size_bucket{type="cds",le="4e+06"} 8
size_bucket{type="cds",le="+Inf"} 10
size_count{type="cds"} 10
size_bucket{type="lds",le="4e+06"} 5
size_count{type="lds"} 5
odd{text="a \\"b\\", c=\\"d\\"\\n"} 1e+06 1700000000000
not a sample
`);

test('samples are read with their labels, and other lines are left out', () => {
  expect(metrics.get('odd')).toEqual([
    { labels: { text: 'a "b", c="d"\n' }, value: 1e6, at: 1_700_000_000_000 },
  ]);
  expect(totalOf(metrics, 'pilot_xds')).toBe(7);
  expect(totalOf(metrics, 'missing')).toBe(0);
  expect(byLabel(metrics, 'pilot_xds', 'version')).toEqual([
    ['1.30.2', 4],
    ['1.31.0', 3],
  ]);
  expect(metrics.has('not')).toBe(false);
});

test('a quantile is linear within its bucket, and no more than the largest finite bound', () => {
  expect(quantileOf(metrics, 'pilot_proxy_queue_time', 0.25)).toBeCloseTo(0.05);
  expect(quantileOf(metrics, 'pilot_proxy_queue_time', 0.7)).toBeCloseTo(0.55);
  expect(quantileOf(metrics, 'pilot_proxy_queue_time', 0.99)).toBe(1);
  expect(quantileOf(metrics, 'missing', 0.5)).toBeUndefined();
});

test('observations above a bound are counted by label', () => {
  expect(countAbove(metrics, 'size', 4e6, 'type')).toEqual([['cds', 2]]);
});

test('no text of metrics makes the reader throw', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => readMetrics(text) instanceof Map));
});

test.each([
  ['docker.io/istio/pilot:1.30.2-distroless', { major: 1, minor: 30, patch: 2 }],
  ['registry:5000/istio/proxyv2:v1.31', { major: 1, minor: 31, patch: 0 }],
  ['registry:5000/istio/pilot', undefined],
  ['istio/pilot:latest', undefined],
  ['istio/pilot@sha256:1234567890', undefined],
])('the version in %s', (image, expected) => {
  expect(versionIn(image)).toEqual(expected);
});

test('versions compare by number', () => {
  const of = (text: string) => versionIn(`x:${text}`) ?? { major: 0, minor: 0, patch: 0 };
  expect(compareVersions(of('1.9.0'), of('1.30.0'))).toBeLessThan(0);
  expect(compareVersions(of('1.30.3'), of('1.30.2'))).toBeGreaterThan(0);
});

test.each([
  ['100ms', 100],
  ['1m30s', 90_000],
  ['1.5s', 1_500],
  ['5', undefined],
  ['', undefined],
])('the duration %j', (text, expected) => {
  expect(durationIn(text)).toBe(expected);
});

const slow = recorded('slow');
const count = 'pilot_k8s_cfg_events{event="update",type="ServiceEntry"}';

test('a reading says whether it is of the start of an istiod', () => {
  expect(sinceStart(slow)).toMatchObject({ isStart: true });
  expect(sinceStart(later(slow))).toMatchObject({ isStart: false, seconds: 3_600 });
  expect(sinceStart('pilot_xds 1\n')).toMatchObject({ isStart: false });
});

test('a window has what was counted in it, and gauges as they are at its end', () => {
  const end = changed(later(slow), 'istiod_uptime_seconds', 3_660);
  const quiet = between(later(slow), end);
  expect(quiet).toMatchObject({ seconds: 60, isStart: false });
  expect(totalOf(quiet.metrics, 'pilot_proxy_convergence_time_count')).toBe(0);
  expect(totalOf(quiet.metrics, 'pilot_xds')).toBe(totalOf(readMetrics(slow), 'pilot_xds'));
  expect(reachOf(quiet)).toBeUndefined();
  expect(reachOf(between(later(recorded('healthy')), end))?.seconds).toBeGreaterThan(10);
});

test('whatever was counted between two readings is what the window has', () => {
  fc.assert(
    fc.property(fc.nat(1_000), fc.nat(1_000), (before, more) => {
      const at = (value: number, uptime: number) =>
        changed(changed(recorded('healthy'), count, value), 'istiod_uptime_seconds', uptime);
      const { metrics, seconds } = between(at(before, 700), at(before + more, 760));
      const events = metrics.get('pilot_k8s_cfg_events') ?? [];
      expect([seconds, events.reduce((sum, { value }) => sum + value, 0)]).toEqual([60, more]);
    }),
    { numRuns: 30 },
  );
});

test('an istiod that restarted within the window counts from its start', () => {
  const restarted = between(later(slow), recorded('healthy'));
  expect(restarted).toEqual(sinceStart(recorded('healthy')));
});
