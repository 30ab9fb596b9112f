import { expect, test } from 'vitest';
import { createProxyTable, type ProxyStats } from '../../../../companion/core/proxies.ts';

const proxy = { namespace: 'shop', pod: 'cart-0', uid: 'uid-1' };

/** What the table holds after each of the readings, in MB and clusters. */
function after(readings: [megabytes: number, clusters: number][]): (number | undefined)[] {
  const table = createProxyTable();
  return readings.map(([megabytes, clusters], n) => {
    const stats: ProxyStats = {
      allocatedBytes: megabytes * 1e6,
      physicalBytes: 0,
      clusters,
    };
    const at = (n + 1) * 30_000;
    const heard = { filterVersion: '1', heartbeatAt: at, reportedAt: at, overflow: 0 };
    table.report({ ...proxy, ...heard, stats, measuredAt: at });
    const [state] = table.values();
    return (state?.stats?.allocatedBytes ?? Number.NaN) / 1e6;
  });
}

test('a reading during a push or a dump does not count as what the configuration takes', () => {
  const full = 2062;
  expect(
    after([
      [168, full],
      [183, full],
    ]),
  ).toEqual([168, 168]);
  expect(
    after([
      [168, full],
      [183, full],
      [168.1, full],
    ]),
  ).toEqual([168, 168, 168.1]);
});

test('what stays larger is taken at its second reading', () => {
  const full = 2062;
  expect(
    after([
      [157, full],
      [168, full],
      [168, full],
    ]),
  ).toEqual([157, 157, 168]);
});

test('another configuration is taken at once, smaller or larger', () => {
  expect(
    after([
      [168, 2062],
      [15, 21],
      [168, 2062],
    ]),
  ).toEqual([168, 15, 168]);
});

test('a reading that is told again is not a second one', () => {
  const table = createProxyTable();
  const tell = (allocatedBytes: number, measuredAt: number, reportedAt: number) => {
    const stats = { allocatedBytes, physicalBytes: 0, clusters: 2062 };
    const heard = { filterVersion: '1', heartbeatAt: reportedAt, reportedAt, overflow: 0 };
    table.report({ ...proxy, ...heard, stats, measuredAt });
  };
  tell(168e6, 30_000, 30_000);
  tell(183e6, 60_000, 60_000);
  tell(183e6, 60_900, 65_900);
  const [state] = table.values();
  expect(state?.stats?.allocatedBytes).toBe(168e6);
});
