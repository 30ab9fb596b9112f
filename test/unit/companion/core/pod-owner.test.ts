import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ownerOf } from '../../../../companion/core/mesh/pod-owner.ts';
import { readPod } from '../../../../companion/core/mesh/pod-record.ts';
import { groupWorkloads } from '../../../../companion/core/scope/workload.ts';
import { pod } from './objects.ts';

const letters = [...'bcdfghjklmnpqrstvwxz2456789'];
const endings = fc.oneof(
  fc.array(fc.constantFrom(...letters), { minLength: 5, maxLength: 5 }).map((all) => all.join('')),
  fc.integer({ min: 1, max: 2_000_000_000 }).map(String),
  fc.uuid(),
);
const kinds = fc.constantFrom('Job', 'TaskRun', 'PipelineRun', 'Workflow', 'SparkApplication');

test('runs of one name with generated suffixes have one owner, for every kind that runs to completion', () => {
  fc.assert(
    fc.property(kinds, endings, (kind, ending) => {
      const of = (name: string) => ownerOf(pod('shop/p', { owner: { kind, name } }));
      expect(of(`nightly-${ending}`)).toMatchObject({ name: 'nightly', runsOnce: false });
      expect(of('nightly')).toMatchObject({ name: 'nightly', runsOnce: true });
    }),
  );
});

describe('a pod of a run', () => {
  const labels = {
    'tekton.dev/pipeline': 'release',
    'tekton.dev/pipelineTask': 'test',
    'tekton.dev/taskRun': 'release-x7k2p-test',
    team: 'ci',
  };

  test('has the name of the template in its labels', () => {
    const owner = { kind: 'TaskRun', name: 'release-x7k2p-test' };
    expect(ownerOf(pod('shop/p', { labels, owner }))).toMatchObject({
      name: 'release-test',
      runsOnce: false,
    });
  });

  test('without an owner has the name from which its own was generated', () => {
    const object = pod('shop/probe-x7k2p');
    const metadata = { ...object.metadata, generateName: 'probe-' };
    expect(ownerOf({ ...object, metadata })).toMatchObject({ name: 'probe', runsOnce: false });
    expect(ownerOf(pod('shop/probe'))).toMatchObject({ name: 'probe', runsOnce: true });
  });

  test('is selected by labels that the next run has, too', () => {
    const runs = ['x7k2p', 'b4c5d'].map((ending) =>
      readPod(
        pod(`shop/build-${ending}-pod`, {
          ip: '10.1.0.1',
          owner: { kind: 'TaskRun', name: `build-${ending}` },
          labels: { 'tekton.dev/taskRun': `build-${ending}`, app: 'build', run: `build-${ending}` },
        }),
      ),
    );
    for (const run of runs) {
      const [workload] = groupWorkloads([run]);
      expect(workload).toMatchObject({ name: 'build', selector: { app: 'build' } });
    }
  });
});
