import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { barrierOf } from '../../../../companion/core/scope/barrier.ts';
import { type PlanInput, planScope } from '../../../../companion/core/scope/plan.ts';
import type { ProxyCount } from '../../../../companion/core/scope/proxies.ts';
import {
  foreignSidecar,
  importedHosts,
  readSidecar,
  type SidecarRecord,
  sidecarOf,
} from '../../../../companion/core/scope/sidecar.ts';
import type { Workload } from '../../../../companion/core/scope/workload.ts';
import { istio } from './objects.ts';

const workload: Workload = {
  namespace: 'shop',
  name: 'web',
  owners: ['web'],
  selector: { app: 'web' },
  pods: [],
};
const owner = { name: 'web', uid: 'uid' };

const noProxies: ProxyCount = {
  total: 0,
  live: 0,
  silentMs: 0,
  judgedMs: 0,
  quorumMs: 0,
  isDeaf: false,
  lost: 0,
  unmeasured: 0,
  measuringMs: 0,
};
const silence = (ms: number) => ({ silentMs: ms, judgedMs: ms, quorumMs: ms });

function counts(total: number, live: number, unmeasured = 0, measuringMs = 0): ProxyCount {
  return { ...noProxies, total, live, unmeasured, measuringMs };
}

function written(hosts: string[]): SidecarRecord {
  return readSidecar(sidecarOf({ workload, owner, hosts, shadowed: undefined }));
}

const tooMany = { reason: 'TooManyEager', message: 'Exclude some.' } as const;
const tooLarge = { reason: 'ScopeTooLarge', message: 'Pin fewer.' } as const;

const theirs = readSidecar(
  istio('Sidecar', 'shop/theirs', { workloadSelector: { labels: { app: 'web' } } }),
);

const all: PlanInput = {
  workload,
  owner,
  hosts: ['a/x', 'a/y'],
  shadowed: undefined,
  mode: 'enforce',
  current: undefined,
  foreign: undefined,
  proxies: counts(2, 2),
  learningMs: 0,
  refusal: undefined,
  isIstioTooOld: false,
  silenceMs: 300_000,
  admitWithdrawal: () => true,
};
const silent: Partial<PlanInput> = { proxies: { ...counts(2, 1), ...silence(300_001) } };
const refused: Partial<PlanInput> = { refusal: { reason: 'NoLabels', message: '' } };

type Row = [string, Partial<PlanInput>, string, string];

describe('the plan', () => {
  test.each<Row>([
    ['creates once every proxy reports', {}, 'create', 'Enforced'],
    ['waits for a silent proxy', { proxies: counts(2, 1) }, 'none', 'ProxiesNotReporting'],
    ['waits without proxies', { proxies: counts(0, 0) }, 'none', 'NoProxies'],
    ['waits for a proxy that is silent for long', silent, 'none', 'ProxiesSilent'],
    [
      'keeps the Sidecar while the budget has no room for its withdrawal',
      { ...silent, current: written(['a/x', 'a/y']), admitWithdrawal: () => false },
      'none',
      'Enforced',
    ],
    [
      'restores full configuration when a proxy is silent for long',
      { ...silent, current: written(['a/x']) },
      'delete',
      'ProxiesSilent',
    ],
    ['refuses a workload that cannot be scoped', refused, 'none', 'NoLabels'],
    [
      'deletes the Sidecar of a workload that cannot be scoped any more',
      { ...refused, current: written(['a/x']) },
      'delete',
      'NoLabels',
    ],
    ['waits for figures', { proxies: counts(2, 2, 1, 1) }, 'none', 'Measuring'],
    [
      'stops waiting for figures after the bound',
      { proxies: counts(2, 2, 1, 0) },
      'create',
      'Enforced',
    ],
    [
      'waits for figures only before the first Sidecar',
      { current: written(['a/x']), proxies: counts(2, 2, 1, 1) },
      'update',
      'Enforced',
    ],
    ['waits for the learning window', { learningMs: 1 }, 'none', 'Learning'],
    ['narrows nothing of an old Istio', { isIstioTooOld: true }, 'none', 'IstioTooOld'],
    [
      'keeps and widens a scope of an Istio that has become too old',
      { current: written(['a/x']), isIstioTooOld: true },
      'update',
      'Enforced',
    ],
    ['writes nothing in observe', { mode: 'observe' }, 'none', 'Observing'],
    ['does nothing in off', { mode: 'off' }, 'none', 'Off'],
    ['leaves the workload of a user alone', { foreign: theirs }, 'none', 'ForeignSidecar'],
    ['widens', { current: written(['a/x']) }, 'update', 'Enforced'],
    ['narrows', { current: written(['a/x', 'a/y', 'a/z']) }, 'update', 'Enforced'],
    ['leaves a correct Sidecar', { current: written(['a/x', 'a/y']) }, 'none', 'Enforced'],
    [
      'deletes the Sidecar for a Sidecar of a user',
      { current: written(['a/x']), foreign: theirs },
      'delete',
      'ForeignSidecar',
    ],
    [
      'deletes the Sidecar in observe',
      { current: written(['a/x']), mode: 'observe' },
      'delete',
      'Observing',
    ],
    ['deletes the Sidecar in off', { current: written(['a/x']), mode: 'off' }, 'delete', 'Off'],
    [
      'takes over the Sidecar after the scope was created again',
      { current: { ...written(['a/x', 'a/y']), ownerUid: 'other' } },
      'update',
      'Enforced',
    ],
  ])('%s', (_what, part, verb, reason) => {
    const plan = planScope({ ...all, ...part });
    expect(plan.change.verb).toBe(verb);
    expect(plan.scoped.reason).toBe(reason);
  });

  test('reports a narrowing without figures', () => {
    const { scoped } = planScope({ ...all, proxies: counts(2, 2, 1) });
    expect(scoped.message).toBe('Imports 2 hosts. The previous memory of 1 proxy is unknown.');
  });

  test('removes no host while a proxy is silent, and still adds hosts', () => {
    const current = written(['a/old']);
    const plan = planScope({ ...all, current, proxies: counts(2, 1) });
    expect(plan.change.verb === 'update' && importedHosts(plan.change.sidecar as never)).toEqual([
      'a/old',
      'a/x',
      'a/y',
    ]);
  });
});

const hostLists = fc
  .uniqueArray(fc.constantFrom('a/1', 'a/2', 'b/1', 'b/2'), { minLength: 1 })
  .map((list) => list.sort());
const inputs: fc.Arbitrary<PlanInput> = fc.record({
  workload: fc.constant(workload),
  owner: fc.constant(owner),
  shadowed: fc.constant(undefined),
  hosts: hostLists,
  mode: fc.constantFrom('observe', 'enforce', 'off'),
  current: fc.option(hostLists.map(written), { nil: undefined }),
  foreign: fc.option(fc.constant(theirs), { nil: undefined }),
  proxies: fc
    .record({
      total: fc.nat(3),
      live: fc.nat(3),
      silences: fc.array(fc.constantFrom(0, 300_000, 300_001), { minLength: 3, maxLength: 3 }),
      isDeaf: fc.boolean(),
      lost: fc.nat(1),
      unmeasured: fc.nat(3),
      measuringMs: fc.constantFrom(0, 1),
    })
    .map(({ silences, ...rest }) => {
      const [silentMs = 0, judgedMs = 0, quorumMs = 0] = silences.sort((a, b) => b - a);
      return { ...rest, silentMs, judgedMs, quorumMs };
    }),
  learningMs: fc.constantFrom(-1, 0, 1),
  refusal: fc.option(fc.constant({ reason: 'Ambient' as const, message: '' }), { nil: undefined }),
  isIstioTooOld: fc.boolean(),
  silenceMs: fc.constant(300_000),
  admitWithdrawal: fc.boolean().map((may) => () => may),
});

test('an executed plan leaves nothing to do', () => {
  fc.assert(
    fc.property(inputs, (input) => {
      const { change } = planScope(input);
      const current =
        change.verb === 'none'
          ? input.current
          : change.verb === 'delete'
            ? undefined
            : readSidecar(change.sidecar);
      expect(planScope({ ...input, current }).change).toEqual({ verb: 'none' });
    }),
  );
});

test('every barrier is reported, in every mode', () => {
  fc.assert(
    fc.property(inputs, (input) => {
      const { ready, scoped } = planScope(input);
      const barrier = barrierOf(input);
      expect(ready.status === 'True').toBe(!barrier || scoped.status === 'True');
      if (ready.status === 'False') expect(ready.reason).toBe(barrier?.reason);
    }),
  );
});

test('a scope is in force only in enforce, and never against a barrier that withdraws it', () => {
  fc.assert(
    fc.property(inputs, (input) => {
      const { change, scoped } = planScope(input);
      const barrier = barrierOf(input);
      const waits =
        input.current && barrier?.reason === 'ProxiesSilent' && !input.admitWithdrawal();
      const isKept = input.mode === 'enforce' && (!barrier?.withdraws || waits);
      if (isKept) expect(change.verb).not.toBe('delete');
      else
        expect([change.verb, scoped.status]).toEqual([input.current ? 'delete' : 'none', 'False']);
    }),
  );
});

test('no plan narrows a workload that has a silent proxy', () => {
  fc.assert(
    fc.property(inputs, (input) => {
      fc.pre(input.proxies.live < input.proxies.total);
      const { change } = planScope(input);
      expect(change.verb).not.toBe('create');
      if (change.verb !== 'update') return;
      expect(importedHosts(change.sidecar as never)).toEqual(
        expect.arrayContaining(input.current ? importedHosts(input.current) : []),
      );
    }),
  );
});

test('the Sidecar of a user counts when it selects a pod of the workload', () => {
  const pods = [{ labels: { app: 'web' } }] as unknown as Workload['pods'];
  const far = readSidecar(
    istio('Sidecar', 'shop/far', { workloadSelector: { labels: { app: 'other' } } }),
  );
  expect(foreignSidecar([far, theirs], { ...workload, pods })).toBe(theirs);
  expect(foreignSidecar([far, written(['a/x'])], { ...workload, pods })).toBeUndefined();
});

test.each([tooMany, tooLarge])(
  'a scope with more hosts than it takes goes at the rate of withdrawals: $reason',
  (refusal) => {
    const current = written(['a/x']);
    const input = { ...all, current, refusal, hosts: ['a/x', 'a/y'] };
    const waiting = planScope({ ...input, admitWithdrawal: () => false });
    expect(waiting.change).toEqual({ verb: 'none' });
    expect(waiting.scoped).toMatchObject({ status: 'True', message: 'Imports 1 host.' });
    expect(waiting.ready).toMatchObject({ status: 'False', reason: refusal.reason });
    expect(waiting.pending).toEqual({ reason: 'Budget', message: refusal.message });
    const gone = planScope({ ...input, admitWithdrawal: () => true });
    expect(gone.change).toEqual({ verb: 'delete', current });
    expect(planScope({ ...input, current: undefined }).change).toEqual({ verb: 'none' });
  },
);

test('a scope grows while a proxy starts only as far as one object can store it', () => {
  const wide = (from: number) =>
    Array.from({ length: 3_000 }, (_, n) => `${'a'.repeat(250)}${from + n}/x`);
  const input = { ...all, current: written(wide(0)), proxies: counts(2, 1) };
  const { change } = planScope({ ...input, hosts: wide(3_000) });
  expect(change).toEqual({ verb: 'none' });
  const small = planScope({ ...input, hosts: ['b/x'] }).change;
  expect(small.verb).toBe('update');
});
