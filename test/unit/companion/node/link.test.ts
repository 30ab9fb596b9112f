import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { httpCall, log, podOf, testMetrics } from '../../../../box/played/fixtures.ts';
import { filterReport } from '../../../../box/played/report-body.ts';
import type { NodeMessage } from '../../../../companion/contract/rpc.ts';
import { createAggregate } from '../../../../companion/node/aggregate.ts';
import { startLink } from '../../../../companion/node/link.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** The writable side of a stream that accepts as much as the test allows. */
function setUp() {
  const written: NodeMessage[] = [];
  let cancelled = false;
  let takes = true;
  const stream = Object.assign(new EventEmitter(), {
    writableLength: 0,
    write(message: NodeMessage) {
      written.push(message);
      return takes;
    },
    cancel() {
      cancelled = true;
    },
  });
  const { metrics, value } = testMetrics();
  const now = () => performance.now();
  const aggregate = createAggregate({ metrics, now });
  const link = startLink({
    stream: stream as never,
    hello: { node: 'n', version: 'v' },
    aggregate,
    metrics,
    log,
    now,
    onAnswer: () => undefined,
    onCatalog: () => undefined,
  });
  let sequence = 0;
  function use(name: string, count: number): void {
    sequence += 1;
    aggregate.record(podOf(name), filterReport(name, sequence, { a: count }));
    link.changed(podOf(name).uid, false);
  }
  const reports = () => written.flatMap(({ report }) => (report ? [report] : []));
  return {
    link,
    aggregate,
    stream,
    use,
    reports,
    written,
    value,
    isCancelled: () => cancelled,
    take(yes: boolean) {
      takes = yes;
      if (yes) stream.emit('drain');
    },
  };
}

describe('the memory of a proxy', () => {
  it('is reported with its age', () => {
    const { aggregate, link, use, reports } = setUp();
    use('x', 1);
    const stats = { allocatedBytes: 10, physicalBytes: 20, clusters: 3 };
    aggregate.setStats(podOf('x'), stats);
    vi.advanceTimersByTime(4_000);
    link.changed(podOf('x').uid, true);
    vi.advanceTimersByTime(20);
    expect(reports().at(-1)?.stats).toEqual({ ...stats, secondsSinceRead: 4 });
  });
});

describe('a stream that is slower than the node', () => {
  it('gets one report of each proxy with all changes since the last one', async () => {
    const { use, take, reports, value } = setUp();
    take(false);
    use('x', 1);
    vi.advanceTimersByTime(2_000);
    expect(reports()).toHaveLength(1);
    for (let count = 2; count <= 100; count++) {
      use('x', count);
      use('y', count);
      vi.advanceTimersByTime(100);
    }
    expect(reports()).toHaveLength(1);
    take(true);
    expect(reports().slice(1)).toMatchObject([
      { pod: 'x', edges: [{ secondsSinceSeen: 0 }] },
      { pod: 'y', edges: [{ secondsSinceSeen: 0 }] },
    ]);
    expect(await value('node_congested_total')).toBe(1);
  });

  it('is closed when it accepts nothing for half a minute', () => {
    const { use, take, isCancelled } = setUp();
    take(false);
    use('x', 1);
    vi.advanceTimersByTime(31_000);
    expect(isCancelled()).toBe(false);
    vi.advanceTimersByTime(5_000);
    expect(isCancelled()).toBe(true);
  });

  it('gets no more questions when it is too far behind', () => {
    const { link, stream } = setUp();
    const question = { id: 1, namespace: 'n', pod: 'p', podUid: 'u', call: httpCall };
    expect(link.ask(question)).toBe(true);
    stream.writableLength = 1024;
    expect(link.ask(question)).toBe(false);
  });
});

describe('a silent proxy', () => {
  it('is reported every half minute with the age of its last heartbeat', () => {
    const { use, reports } = setUp();
    use('x', 1);
    vi.advanceTimersByTime(65_000);
    const ages = reports().map(({ secondsSinceHeartbeat }) => secondsSinceHeartbeat);
    expect(ages).toEqual([2, 32, 62]);
    expect(reports().at(-1)).toMatchObject({ edges: [] });
  });
});

it('the first message is Hello', () => {
  const { use, written } = setUp();
  use('x', 1);
  vi.advanceTimersByTime(2_000);
  expect(written.map((message) => Object.keys(message)[0])).toEqual(['hello', 'report']);
});
