import { describe, expect, test } from 'vitest';
import { readPod } from '../../../../companion/core/mesh/pod-record.ts';
import type { ScopeHost } from '../../../../companion/core/scope/hosts.ts';
import type { ProxyCount } from '../../../../companion/core/scope/proxies.ts';
import {
  createProxyTable,
  liveMs,
  type ProxyState,
} from '../../../../companion/core/scope/proxies.ts';
import {
  goneStatus,
  type StatusInput,
  statusChange,
  statusOf,
} from '../../../../companion/core/scope/status.ts';
import type { Workload } from '../../../../companion/core/scope/workload.ts';
import {
  learnedEdges,
  readWorkloadScope,
  workloadScopeOf,
} from '../../../../companion/core/scope/workload-scope.ts';
import { pod } from './objects.ts';

const hour = 3_600_000;
const now = Date.parse('2026-01-02T03:04:05Z');
const workload: Workload = {
  namespace: 'shop',
  name: 'web',
  owners: ['web'],
  selector: { app: 'web' },
  pods: [readPod(pod('shop/web-1', { ip: '10.1.0.1' }))],
};

function learned(lastSeen: number): ScopeHost {
  const edge = { namespace: 'shop', host: 'cart', firstSeen: now - 5 * hour, lastSeen };
  return { entry: 'shop/cart', reason: 'learned', edge };
}

function counts(total: number, live: number): ProxyCount {
  const none = { silentMs: 0, judgedMs: 0, quorumMs: 0, isDeaf: false, lost: 0 };
  return { ...none, total, live, unmeasured: 0, measuringMs: 0 };
}

const silence = (ms: number) => ({ silentMs: ms, judgedMs: ms, quorumMs: ms });

/** The default reading is a minute in the future, so that it counts as new. */
function proxy(allocatedBytes: number, clusters: number, measuredAt = now + 60_000): ProxyState {
  return {
    namespace: 'shop',
    pod: 'web-1',
    uid: 'uid-shop/web-1',
    filterVersion: '1',
    heartbeatAt: now,
    reportedAt: now,
    overflow: 0,
    stats: { allocatedBytes, physicalBytes: 0, clusters },
    measuredAt,
    firstLiveAt: now,
  };
}

const enforced = { status: 'True', reason: 'Enforced', message: 'Imports 1 host.' } as const;
const waiting = { status: 'False', reason: 'ProxiesNotReporting', message: '' } as const;

const input: StatusInput = {
  mode: 'enforce',
  workload,
  hosts: [learned(now)],
  leftOut: 0,
  proxies: counts(1, 1),
  states: [],
  scoped: enforced,
  ready: { status: 'True', reason: 'Ready', message: '' },
  watched: { learningSince: now, silentSince: undefined },
  ttlMs: 72 * hour,
  verdict: { expired: [], kept: 0 },
  justScoped: false,
  before: undefined,
  version: '0.1.0',
  now,
};

describe('the status of a scope', () => {
  test('names the release that wrote it, and an upgrade writes it again, without hurry', () => {
    const before = statusOf(input);
    expect(before.version).toBe('0.1.0');
    expect(statusChange(before, statusOf({ ...input, before }))).toBe('no');
    expect(statusChange(before, statusOf({ ...input, before, version: '0.1.1' }))).toBe('later');
    const gone = {
      version: '0.1.1',
      mode: 'enforce',
      isScoped: true,
      goneSince: now,
      now,
    } as const;
    expect(goneStatus({ name: 'web', status: before }, gone).version).toBe('0.1.1');
  });

  test('restores the learned hosts, with the end of the recorded hour as the last use', () => {
    const object = { ...workloadScopeOf(workload), status: statusOf(input) };
    const [[source, edges] = []] = [...learnedEdges(readWorkloadScope(object))];
    expect(source).toEqual({ namespace: 'shop', owner: 'web' });
    const lastSeen = Date.parse('2026-01-02T04:00:00Z') - 1;
    expect(edges).toEqual([
      { namespace: 'shop', host: 'cart', firstSeen: now - 5 * hour, lastSeen },
    ]);
  });

  test('keeps the cost of full configuration after the scope came into force', () => {
    const full = statusOf({ ...input, scoped: waiting, states: [proxy(150e6, 2010)] });
    expect(full.memory).toEqual({ beforeBytes: 150e6, before: '150.0MB' });
    const scoped = statusOf({ ...input, before: full, states: [proxy(10.5e6, 13)] });
    expect(scoped.memory).toEqual({
      beforeBytes: 150e6,
      before: '150.0MB',
      afterBytes: 10.5e6,
      after: '10.5MB',
    });
    expect(scoped.clusters).toEqual({ before: 2010, after: 13 });
    const silent = statusOf({ ...input, before: scoped });
    expect(silent.memory).toEqual(scoped.memory);
  });

  test('counts figures up to the creation of the Sidecar as full configuration', () => {
    const status = statusOf({ ...input, justScoped: true, states: [proxy(150e6, 2010)] });
    expect(status.clusters).toEqual({ before: 2010 });
  });

  test('uses no figures from before a scope came into force as the figures after it', () => {
    const full = statusOf({ ...input, scoped: waiting, states: [proxy(150e6, 2010)] });
    const made = { ...input, before: full, justScoped: true, now: now + 9_000 };
    const scoped = statusOf({ ...made, states: [proxy(151e6, 2010, now + 8_000)] });
    expect(scoped.clusters).toEqual({ before: 2010 });
    const stale = [proxy(152e6, 2009, now + 10_500)];
    const unread = statusOf({ ...input, before: scoped, states: stale });
    expect(unread.clusters).toEqual({ before: 2010 });
    const fresh = [proxy(10e6, 13, now + 11_000)];
    const read = statusOf({ ...input, before: scoped, states: fresh });
    expect(read.clusters).toEqual({ before: 2010, after: 13 });
  });

  test('keeps the cost of full configuration when a Sidecar was deleted and created again', () => {
    const full = statusOf({ ...input, scoped: waiting, states: [proxy(150e6, 2010)] });
    const narrow = [proxy(10e6, 13)];
    const scoped = statusOf({ ...input, before: full, states: narrow });
    const again = statusOf({ ...input, before: scoped, justScoped: true, states: narrow });
    expect(again.clusters).toEqual({ before: 2010 });
    const off = { ...input, scoped: waiting, states: narrow, now: now + 70_000 };
    expect(statusOf({ ...off, before: scoped }).clusters).toEqual({ before: 2010 });
  });

  test('changes the time of a condition with its status only', () => {
    const before = statusOf({ ...input, scoped: waiting });
    const later = { ...input, before, now: now + 1000 };
    expect(statusOf({ ...later, scoped: waiting }).conditions).toEqual(before.conditions);
    expect(statusOf(later).conditions[0]?.lastTransitionTime).toBe('2026-01-02T03:04:06Z');
  });
});

describe('a change of the status', () => {
  const before = statusOf({ ...input, states: [proxy(10e6, 13)] });

  test.each<[string, Partial<StatusInput>, string]>([
    ['without a difference', {}, 'no'],
    ['of a message alone', { scoped: { ...enforced, message: 'x' } }, 'no'],
    ['of last seen within the hour', { hosts: [learned(now + 60_000)] }, 'no'],
    ['of memory by a little', { states: [proxy(10.2e6, 13)] }, 'no'],
    ['of memory by much', { states: [proxy(11e6, 13)] }, 'later'],
    ['of clusters by a few', { states: [proxy(10e6, 14)] }, 'later'],
    ['of clusters by many', { states: [proxy(10e6, 130)] }, 'soon'],
    ['of last seen by an hour', { hosts: [learned(now + hour)] }, 'later'],
    ['of proxies that report', { proxies: counts(1, 0) }, 'later'],
    ['of hosts', { hosts: [] }, 'now'],
    ['of the mode', { mode: 'observe' }, 'now'],
    ['of a condition', { scoped: waiting }, 'now'],
  ])('%s is written: %s', (_what, part, expected) => {
    const after = statusOf({ ...input, states: [proxy(10e6, 13)], before, ...part });
    expect(statusChange(before, after)).toBe(expected);
  });

  test('with the first figures is written soon', () => {
    const unknown = statusOf(input);
    const known = statusOf({ ...input, before: unknown, states: [proxy(10e6, 13)] });
    expect(statusChange(unknown, known)).toBe('soon');
  });

  test('from no status is written at once', () => {
    expect(statusChange(undefined, before)).toBe('now');
  });
});

describe('a proxy', () => {
  test('is live while its filter reports under the uid of the pod', () => {
    const table = createProxyTable();
    table.report(proxy(1, 1));
    const silentFor = (ms: number) => ({ ...counts(1, 0), ...silence(ms) });
    const atLimit = { ...silentFor(liveMs), live: 1 };
    expect(table.count(workload.pods, now + liveMs)).toEqual(atLimit);
    expect(table.count(workload.pods, now + liveMs + 1)).toEqual(silentFor(liveMs + 1));
    const reborn = workload.pods.map((each) => ({ ...each, uid: 'other' }));
    expect(table.count(reborn, now)).toEqual(counts(1, 0));
    const starting = workload.pods.map((each) => ({ ...each, ips: [] }));
    expect(table.count(starting, now)).toEqual(counts(0, 0));
  });

  test('delays narrowing until it was measured, but for ten seconds at most', () => {
    const table = createProxyTable();
    const silent = { ...proxy(0, 0), stats: undefined, measuredAt: 0 };
    table.report({ ...silent, heartbeatAt: 0 });
    expect(table.count(workload.pods, now)).toEqual(counts(1, 0));
    table.report(silent);
    const waiting = { ...counts(1, 1), unmeasured: 1 };
    const later = (ms: number, measuringMs = 0) => ({
      ...waiting,
      ...silence(ms),
      measuringMs,
    });
    expect(table.count(workload.pods, now)).toEqual({ ...waiting, measuringMs: 10_000 });
    table.report({ ...silent, reportedAt: now + 9_999 });
    expect(table.count(workload.pods, now + 9_999)).toEqual(later(9_999, 1));
    expect(table.count(workload.pods, now + 10_000)).toEqual(later(10_000));
    table.report(proxy(1, 1));
    expect(table.count(workload.pods, now)).toEqual(counts(1, 1));
  });

  test('keeps its last figures when a report has none', () => {
    const table = createProxyTable();
    table.report(proxy(7, 1));
    table.report({ ...proxy(0, 0), stats: undefined });
    const [first] = workload.pods;
    expect(first && table.of(first)?.stats?.allocatedBytes).toBe(7);
  });

  test('that never reported is silent from its first count on, and only while it runs', () => {
    const table = createProxyTable();
    const silenceAt = (at: number, pods = workload.pods) => table.count(pods, at).silentMs;
    expect([silenceAt(now), silenceAt(now + 7_000)]).toEqual([0, 7_000]);
    const ended = workload.pods.map((each) => ({ ...each, proxyRunning: false }));
    expect(table.count(ended, now + 8_000)).toEqual(counts(0, 0));
  });

  test('is silent since its last report, even if its node has forgotten it', () => {
    const table = createProxyTable();
    table.count(workload.pods, now);
    table.report(proxy(1, 1));
    table.gone({ namespace: 'shop', pod: 'web-1', uid: 'uid-shop/web-1' });
    for (const minutes of [1, 5]) table.count(workload.pods, now + minutes * 60_000);
    table.expire(now + 301_000);
    expect(table.count(workload.pods, now + 301_000)).toMatchObject({ live: 0, silentMs: 301_000 });
  });

  test('is forgotten when its node is silent for long, or reports that it is gone', () => {
    const table = createProxyTable();
    table.report(proxy(1, 1));
    expect(table.expire(now + 299_000)).toBe(0);
    expect(table.expire(now + 301_000)).toBe(1);
    table.report(proxy(1, 1));
    table.gone({ namespace: 'shop', pod: 'web-1', uid: 'another life' });
    expect([...table.values()]).toHaveLength(1);
    table.gone({ namespace: 'shop', pod: 'web-1', uid: 'uid-shop/web-1' });
    expect([...table.values()]).toHaveLength(0);
  });
});
