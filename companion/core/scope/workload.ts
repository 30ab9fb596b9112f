import { selects } from '../mesh/label-selector.ts';
import type { PodRecord } from '../mesh/pod-record.ts';

/** Pods that share one scope. */
export type Workload = {
  namespace: string;
  /** Name of the scope: the first, in order, of the owners' names. */
  name: string;
  /** Names of the owners (Deployment, StatefulSet, ...) whose pods it has. */
  owners: string[];
  selector: Record<string, string>;
  pods: PodRecord[];
  /** All its pods are of a run that nothing says will be repeated: it has no scope of its own. */
  runsOnce?: boolean;
};

/**
 * Labels that controllers or the injector add to pods. They differ between pods or rollouts, so a
 * selector with them would stop matching.
 */
const generated = new Set([
  'pod-template-hash',
  'rollouts-pod-template-hash',
  'controller-revision-hash',
  'pod-template-generation',
  'statefulset.kubernetes.io/pod-name',
  'apps.kubernetes.io/pod-index',
  'controller-uid',
  'job-name',
  'istio.io/rev',
  'security.istio.io/tlsMode',
  'service.istio.io/canonical-revision',
  'topology.istio.io/network',
  'tekton.dev/taskRun',
  'tekton.dev/taskRunUID',
  'tekton.dev/pipelineRun',
  'tekton.dev/pipelineRunUID',
  'workflows.argoproj.io/workflow',
  'spark-app-selector',
  'spark-app-name',
  'spark-exec-id',
  'sparkoperator.k8s.io/app-name',
  'sparkoperator.k8s.io/submission-id',
]);
const generatedPrefix = 'batch.kubernetes.io/';

type Labels = Readonly<Record<string, string>>;
type Group = { owners: string[]; selector: Labels; pods: PodRecord[]; labelSets: Labels[] };

/**
 * Groups the pods of one namespace that have a sidecar. A group's selector is the common labels of
 * its pods. If it would also select a pod of another group, the two groups are merged: a scope that
 * is too wide is safe, but two scopes for one pod are not.
 */
export function groupWorkloads(pods: Iterable<PodRecord>): Workload[] {
  const byOwner = new Map<string, PodRecord[]>();
  for (const pod of pods) {
    if (!pod.hasSidecar || !pod.running) continue;
    const group = byOwner.get(pod.owner);
    if (group) group.push(pod);
    else byOwner.set(pod.owner, [pod]);
  }
  let groups = [...byOwner.keys()]
    .sort()
    .map((owner) => groupOf([owner], byOwner.get(owner) ?? []));
  // Each turn merges at least two groups or is the last.
  for (;;) {
    const merged = mergeOverlapping(groups);
    if (merged.length === groups.length) break;
    groups = merged;
  }
  return groups.map(({ owners, selector, pods: members }) => ({
    namespace: members[0]?.namespace ?? '',
    name: owners[0] ?? '',
    owners,
    selector: { ...selector },
    runsOnce: members.every((pod) => pod.runsOnce),
    pods: [...members].sort((a, b) => (a.name < b.name ? -1 : 1)),
  }));
}

function groupOf(owners: string[], pods: PodRecord[]): Group {
  const labelSets = distinct(pods.map(stable));
  const [first = {}, ...rest] = labelSets;
  const selector = Object.fromEntries(
    Object.entries(first)
      .filter(([key, value]) => rest.every((labels) => labels[key] === value))
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
  return { owners: [...owners].sort(), selector, pods, labelSets };
}

function stable({ labels, name, owner, run }: PodRecord): Labels {
  // A generated name is another one in the next run; a name that the user gave is in every run.
  const isGenerated = run !== '' && run !== owner;
  return Object.fromEntries(
    Object.entries(labels).filter(
      ([key, value]) =>
        !generated.has(key) &&
        !key.startsWith(generatedPrefix) &&
        !(isGenerated && (value === run || value === name)),
    ),
  );
}

function distinct(labelSets: Labels[]): Labels[] {
  const byText = new Map<string, Labels>();
  for (const labels of labelSets) {
    byText.set(JSON.stringify(Object.entries(labels).sort()), labels);
  }
  return [...byText.values()];
}

function mergeOverlapping(groups: Group[]): Group[] {
  const groupsByLabel = new Map<string, Set<Group>>();
  for (const group of groups) {
    for (const label of group.labelSets.flatMap(labelKeys)) {
      const set = groupsByLabel.get(label);
      if (set) set.add(group);
      else groupsByLabel.set(label, new Set([group]));
    }
  }
  const head = new Map<Group, Group>(groups.map((group) => [group, group]));
  const find = (group: Group): Group => {
    const next = head.get(group) ?? group;
    return next === group ? group : find(next);
  };
  for (const group of groups) {
    // Only groups with its rarest label can match it. A group without common labels gets no
    // Sidecar, so it selects nothing and must not absorb its whole namespace.
    const candidates = labelKeys(group.selector)
      .map((label) => groupsByLabel.get(label) ?? new Set<Group>())
      .sort((a, b) => a.size - b.size)[0];
    for (const other of candidates ?? []) {
      const selected = other.labelSets.some((labels) => selects(group.selector, labels));
      if (selected && find(other) !== find(group)) head.set(find(other), find(group));
    }
  }
  const members = new Map<Group, Group[]>();
  for (const group of groups) {
    const top = find(group);
    members.set(top, [...(members.get(top) ?? []), group]);
  }
  return [...members.values()].map((parts) =>
    parts.length === 1 && parts[0]
      ? parts[0]
      : groupOf(
          parts.flatMap(({ owners }) => owners),
          parts.flatMap(({ pods }) => pods),
        ),
  );
}

function labelKeys(labels: Labels): string[] {
  return Object.entries(labels).map(([key, value]) => `${key}=${value}`);
}
