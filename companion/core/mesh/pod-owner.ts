import type { KubeObject } from '../../kube/object.ts';

/** What made a pod, under a name that stays the same from run to run. */
export type PodOwner = {
  /** Of the Deployment, StatefulSet, DaemonSet, CronJob, or what runs again and again. */
  name: string;
  /** Runs to an end, and nothing says that it will run again under this name or another. */
  runsOnce: boolean;
  /** The name of this very run; empty for what does not run to an end. */
  run: string;
};

/** Kinds whose objects are made anew for each run; the executors of Spark are owned by a Pod. */
const runKinds = new Set([
  ...['Job', 'Pod', 'TaskRun', 'CustomRun', 'PipelineRun', 'Workflow', 'SparkApplication'],
  ...['RayJob', 'RayCluster', 'PyTorchJob', 'TFJob', 'MPIJob', 'XGBoostJob', 'FlinkSessionJob'],
]);

/** Labels of pods that name what a run was made from, the narrowest first. */
const templateLabels = [
  ['tekton.dev/pipeline', 'tekton.dev/pipelineTask'],
  ['tekton.dev/task'],
  ['workflows.argoproj.io/cron-workflow'],
  ['workflows.argoproj.io/workflow-template'],
];

/**
 * Endings that generators give: numbers and times, hashes and UUIDs, and the five letters of
 * `generateName` (k8s.io/apimachinery/pkg/util/rand, without vowels and what looks like them).
 */
const runEnding =
  /-(?:\d+|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{7,}|[bcdfghjklmnpqrstvwxz2456789]{5})$/;

/** The name of what the user wrote, past the generated ReplicaSet or Job in between. */
export function ownerOf({ metadata }: KubeObject): PodOwner {
  const labels = metadata.labels ?? {};
  const owner = metadata.ownerReferences?.find(({ controller }) => controller);
  if (!owner) {
    const named = labels['service.istio.io/canonical-name'] ?? labels.app;
    const run = runOf(metadata.name, metadata.generateName);
    // The injector takes the name of a pod without an owner for its canonical name.
    if (named === metadata.name && !run.runsOnce) return run;
    return named ? lasting(named) : run;
  }
  const hash = labels['pod-template-hash'] ?? labels['rollouts-pod-template-hash'];
  if (owner.kind === 'ReplicaSet' && hash && owner.name.endsWith(`-${hash}`)) {
    return lasting(owner.name.slice(0, -hash.length - 1));
  }
  if (!runKinds.has(owner.kind)) return lasting(owner.name);
  const template = templateLabels
    .map((keys) => keys.map((key) => labels[key]))
    .find((values) => values.every(Boolean));
  if (template) return { name: template.join('-'), runsOnce: false, run: owner.name };
  return runOf(owner.name, undefined);
}

function lasting(name: string): PodOwner {
  return { name, runsOnce: false, run: '' };
}

function runOf(run: string, generateName: string | undefined): PodOwner {
  let name = generateName?.replace(/-$/, '') || run;
  for (let shorter = ''; shorter !== name; ) {
    shorter = name;
    name = name.replace(runEnding, '') || name;
  }
  return { name, runsOnce: name === run, run };
}
