import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { selects } from '../../../../companion/core/mesh/label-selector.ts';
import { type PodRecord, readPod } from '../../../../companion/core/mesh/pod-record.ts';
import { groupWorkloads } from '../../../../companion/core/scope/workload.ts';
import { type PodOptions, pod } from './objects.ts';

function record(name: string, options: PodOptions = {}): PodRecord {
  return readPod(pod(`shop/${name}`, options));
}

/** A pod as a Deployment creates it, with all labels that the injector adds. */
function replica(deployment: string, hash: string, labels: Record<string, string>): PodRecord {
  return record(`${deployment}-${hash}-x`, {
    owner: { kind: 'ReplicaSet', name: `${deployment}-${hash}` },
    labels: { ...labels, 'pod-template-hash': hash, 'istio.io/rev': `r-${hash}` },
  });
}

function shape(pods: PodRecord[]) {
  return groupWorkloads(pods).map(({ name, owners, selector, pods: members }) => ({
    name,
    owners,
    selector,
    pods: members.length,
  }));
}

describe('the pods of one owner', () => {
  test('keep a label with the name of their Job, unless that name is generated', () => {
    const run = (name: string) =>
      record(`${name}-prlkz`, { owner: { kind: 'Job', name }, labels: { app: name, team: 'ci' } });
    const selectorOf = (name: string) => shape([run(name)])[0]?.selector;
    expect(selectorOf('migrate')).toEqual({ app: 'migrate', team: 'ci' });
    expect(selectorOf('report-29384756')).toEqual({ team: 'ci' });
  });

  test('share a scope that selects by the labels that stay', () => {
    expect(shape([replica('web', 'abc', { app: 'web', version: 'v1' })])).toEqual([
      { name: 'web', owners: ['web'], selector: { app: 'web', version: 'v1' }, pods: 1 },
    ]);
  });

  test('share it during a rollout that changes a label', () => {
    const pods = [
      replica('web', 'abc', { app: 'web', version: 'v1' }),
      replica('web', 'def', { app: 'web', version: 'v2', extra: 'yes' }),
    ];
    expect(shape(pods)).toEqual([
      { name: 'web', owners: ['web'], selector: { app: 'web' }, pods: 2 },
    ]);
  });

  test.each([
    [{ kind: 'StatefulSet', name: 'db' }, 'db'],
    [{ kind: 'DaemonSet', name: 'agent' }, 'agent'],
    [{ kind: 'Job', name: 'report-29384756' }, 'report'],
    [{ kind: 'Job', name: 'migrate-2' }, 'migrate'],
    [{ kind: 'Job', name: 'migrate' }, 'migrate'],
    [{ kind: 'TaskRun', name: 'build-x7k2p' }, 'build'],
    [{ kind: 'TaskRun', name: 'build-x7k2p-29384756' }, 'build'],
    [{ kind: 'Workflow', name: 'etl-1764300000' }, 'etl'],
    [{ kind: 'Workflow', name: 'etl-9f86d081884c7d65' }, 'etl'],
    [{ kind: 'SparkApplication', name: 'pi-0b9c8a7e-1f2d-4c3b-8a9e-0123456789ab' }, 'pi'],
    [{ kind: 'Pod', name: 'pi-1764300000-driver' }, 'pi-1764300000-driver'],
    // A permanent workload keeps its name, even if the name looks generated.
    [{ kind: 'StatefulSet', name: 'db-12345' }, 'db-12345'],
    [{ kind: 'CloneSet', name: 'web-bcdfg' }, 'web-bcdfg'],
  ])('of %j have the name %s', (owner, name) => {
    const labels = { app: 'x', 'job-name': 'j', 'batch.kubernetes.io/job-name': 'j' };
    expect(shape([record('p', { owner, labels })])).toEqual([
      { name, owners: [name], selector: { app: 'x' }, pods: 1 },
    ]);
  });

  test('without an owner have their canonical name', () => {
    const labels = { 'service.istio.io/canonical-name': 'curl' };
    expect(shape([record('curl-1', { labels })])).toMatchObject([{ name: 'curl' }]);
  });
});

describe('two workloads', () => {
  test('of different labels have a scope each', () => {
    const pods = [replica('a', '1', { app: 'a' }), replica('b', '1', { app: 'b' })];
    expect(shape(pods).map(({ name }) => name)).toEqual(['a', 'b']);
  });

  test('become one where the labels of one are among those of the other', () => {
    const pods = [
      replica('web', '1', { app: 'web' }),
      replica('web-canary', '1', { app: 'web', track: 'canary' }),
    ];
    expect(shape(pods)).toEqual([
      { name: 'web', owners: ['web', 'web-canary'], selector: { app: 'web' }, pods: 2 },
    ]);
  });

  test('become one workload with a third that both would select', () => {
    const pods = [
      replica('a', '1', { team: 't', app: 'a' }),
      replica('b', '1', { team: 't', tier: 'b' }),
      replica('c', '1', { team: 't', app: 'a', tier: 'b' }),
    ];
    expect(shape(pods)).toEqual([
      { name: 'a', owners: ['a', 'b', 'c'], selector: { team: 't' }, pods: 3 },
    ]);
  });
});

test('pods without labels leave the other workloads alone', () => {
  const pods = [record('bare', {}), replica('web', '1', { app: 'web' })];
  expect(shape(pods).map(({ name, selector }) => [name, selector])).toEqual([
    ['bare', {}],
    ['web', { app: 'web' }],
  ]);
});

test('pods that no Sidecar applies to belong to no workload', () => {
  const gateway = { 'inject.istio.io/templates': 'gateway' };
  expect(
    shape([
      record('plain', { tlsMode: '' }),
      record('gw', { annotations: gateway }),
      record('done', { phase: 'Succeeded' }),
    ]),
  ).toEqual([]);
});

const labels = fc.dictionary(
  fc.constantFrom('app', 'tier', 'team', 'pod-template-hash'),
  fc.constantFrom('a', 'b'),
);
const pods = fc
  .array(fc.record({ owner: fc.constantFrom('o1', 'o2', 'o3', 'o4'), labels }), { maxLength: 12 })
  .map((list) =>
    list.map((each, n) =>
      record(`p${n}`, { owner: { kind: 'StatefulSet', name: each.owner }, labels: each.labels }),
    ),
  );

test('every pod is selected by its own workload and by no other', () => {
  fc.assert(
    fc.property(pods, (list) => {
      const workloads = groupWorkloads(list);
      for (const each of list) {
        const [own, ...more] = workloads.filter(({ pods: members }) => members.includes(each));
        expect(more).toEqual([]);
        // The controller never writes a Sidecar without a selector.
        const selecting = workloads.filter(
          ({ selector }) => Object.keys(selector).length > 0 && selects(selector, each.labels),
        );
        expect(selecting).toEqual(Object.keys(own?.selector ?? {}).length > 0 ? [own] : []);
      }
    }),
  );
});

test('the same pods in another order give the same workloads', () => {
  const shuffled = pods.chain((list) =>
    fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
  );
  fc.assert(
    fc.property(shuffled, ([list, other]) => {
      expect(JSON.stringify(groupWorkloads(other))).toBe(JSON.stringify(groupWorkloads(list)));
    }),
  );
});
