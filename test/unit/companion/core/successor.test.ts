import fc from 'fast-check';
import { expect, test } from 'vitest';
import { selects } from '../../../../companion/core/mesh/label-selector.ts';
import { type PodRecord, readPod } from '../../../../companion/core/mesh/pod-record.ts';
import { createSuccessors } from '../../../../companion/core/scope/successor.ts';
import { groupWorkloads } from '../../../../companion/core/scope/workload.ts';
import { pod } from './objects.ts';

type Labels = Record<string, string>;

const podOf = (owner: string, labels: Labels): PodRecord =>
  readPod(pod(`shop/${owner}-pod`, { owner: { kind: 'StatefulSet', name: owner }, labels }));

test('a scope has a successor if its owner has pods, or its Sidecar selects a pod of a workload', () => {
  const labels = fc.dictionary(fc.constantFrom('app', 'tier'), fc.constantFrom('a', 'b', 'c'));
  const owner = fc.constantFrom('web', 'cart', 'ads');
  fc.assert(
    fc.property(
      fc.array(fc.tuple(owner, labels), { maxLength: 5 }),
      fc.record({ name: owner, selector: labels }),
      (pods, scope) => {
        const workloads = groupWorkloads(pods.map(([name, own]) => podOf(name, own)));
        const isSelector = Object.keys(scope.selector).length > 0;
        const expected = workloads.some(
          ({ owners, pods: members }) =>
            owners.includes(scope.name) ||
            (isSelector && members.some((each) => selects(scope.selector, each.labels))),
        );
        expect(createSuccessors(workloads).has(scope)).toBe(expected);
      },
    ),
  );
});

test('questions about thousands of scopes read the labels of each pod once', () => {
  const count = 2_000;
  let reads = 0;
  const pods = Array.from({ length: count }, (_, n) => {
    const { labels, ...rest } = podOf(`new-${n}`, { app: `new-${n}`, team: 'ci' });
    return {
      ...rest,
      get labels() {
        reads += 1;
        return labels;
      },
    };
  });
  const workloads = groupWorkloads(pods);
  reads = 0;
  const successors = createSuccessors(workloads);
  const ask = (name: string) => successors.has({ name, selector: { app: name, team: 'ci' } });
  for (let n = 0; n < count; n++) expect(ask(`old-${n}`)).toBe(false);
  expect(reads).toBe(count);
});
