import { rename, writeFile } from 'node:fs/promises';
import type { Logger } from 'pino';
import {
  labelPrefix,
  labelsOf,
  type NodeFacts,
  type NodeLabels,
} from '../core/mesh/node-features.ts';
import { messageOf } from '../frame/errors.ts';
import type { Kube, KubeObject } from '../kube/object.ts';
import type { NodeMetrics } from './metrics.ts';

/**
 * Finds the features of the node, follows their changes, and publishes them where Node Feature
 * Discovery (NFD) turns them into labels of the Node, so that this process needs no right to Nodes.
 */
export type FeaturesOptions = {
  config: {
    nodeName: string;
    namespace: string;
    podName: string;
    podUid: string;
    featureFile: string;
  };
  kube: Pick<Kube, 'serves' | 'apply'>;
  readFacts(): Promise<NodeFacts>;
  metrics: Pick<NodeMetrics, 'featureWrites'>;
  log: Logger;
  /** Milliseconds of a clock that does not jump. */
  now: () => number;
  /** Milliseconds since the epoch. */
  date: () => number;
};

export type Features = { labels(): NodeLabels; round(): Promise<void> };
export type FollowedFeatures = { labels(): NodeLabels; stop(): void };

const api = { group: 'nfd.k8s-sigs.io', version: 'v1alpha1' } as const;
/** Field manager of the NodeFeature. */
const fieldManager = 'lazyscope-node';

/** How often the facts are read: pages are reserved and devices come while a node runs. */
const everyMs = 60_000;
/**
 * How often what is unchanged is published again: NFD may have been installed, or the object
 * deleted. A thousand nodes make two requests a second.
 */
export const repeatMs = 600_000;
/** A file that is not written anew is ignored by NFD after three turns. */
const expiryMs = 3 * repeatMs;

export function followFeatures(options: FeaturesOptions): FollowedFeatures {
  const { labels, round } = createFeatures(options);
  const look = () => void round().catch((err) => options.log.warn({ err }, 'features not read'));
  look();
  const timer = setInterval(look, everyMs);
  return { labels, stop: () => clearInterval(timer) };
}

export function createFeatures(options: FeaturesOptions): Features {
  const { readFacts, now, metrics, log } = options;
  let labels: NodeLabels = {};
  let published: { text: string; at: number } | undefined;
  const failures = new Map<string, string>();

  /** Writes once; the first failure of a kind is logged, the metric counts the others. */
  async function attempt(to: string, write: () => Promise<'done' | 'not-served'>): Promise<void> {
    let outcome: string;
    try {
      outcome = await write();
      failures.delete(to);
    } catch (error) {
      outcome = 'failed';
      const reason = messageOf(error);
      const level = failures.get(to) === reason ? 'debug' : 'warn';
      log[level]({ to, err: error }, 'features not published');
      failures.set(to, reason);
    }
    metrics.featureWrites.inc({ to, outcome });
  }

  return {
    labels: () => labels,
    async round() {
      labels = labelsOf(await readFacts());
      const text = JSON.stringify(labels);
      if (published?.text === text && now() - published.at < repeatMs) return;
      published = { text, at: now() };
      await attempt('nfd', () => writeObject(options, labels));
      if (options.config.featureFile !== '')
        await attempt('file', () => writeFeatureFile(options, labels));
    },
  };
}

async function writeObject(
  { kube, config }: FeaturesOptions,
  labels: NodeLabels,
): Promise<'done' | 'not-served'> {
  const object = nodeFeatureOf(config, labels);
  if (!object || !(await kube.serves(api))) return 'not-served';
  await kube.apply(object, { fieldManager, force: true });
  return 'done';
}

/**
 * Undefined if NFD could not read it: it names the node in a label, which has at most 63 bytes, and
 * without the pod as owner nobody would delete the object.
 */
export function nodeFeatureOf(
  { nodeName, namespace, podName, podUid }: FeaturesOptions['config'],
  labels: NodeLabels,
): KubeObject | undefined {
  if (nodeName.length > 63 || podName === '' || podUid === '') return undefined;
  return {
    apiVersion: `${api.group}/${api.version}`,
    kind: 'NodeFeature',
    metadata: {
      name: `lazyscope-${nodeName}`,
      namespace,
      labels: { 'nfd.node.kubernetes.io/node-name': nodeName },
      // Kubernetes deletes it with the pod; the pod that comes after has taken it over before.
      ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: podName, uid: podUid }],
    },
    spec: {
      // For rules of NFD, which match features and not labels.
      features: {
        flags: {},
        instances: {},
        attributes: { 'lazyscope.node': { elements: labels } },
      },
      labels: prefixed(labels),
    },
  };
}

/** NFD's local source: one label a line, ignored after the time in the first line. */
export function featureFileOf(labels: NodeLabels, date: number): string {
  const expiry = new Date(date + expiryMs).toISOString().replace(/\.\d+Z$/, 'Z');
  const lines = Object.entries(prefixed(labels)).map(([name, value]) => `${name}=${value}\n`);
  return `# +expiry-time=${expiry}\n${lines.join('')}`;
}

async function writeFeatureFile(
  { config: { featureFile }, date }: FeaturesOptions,
  labels: NodeLabels,
): Promise<'done'> {
  // A reader sees either the old file or the new file.
  await writeFile(`${featureFile}.part`, featureFileOf(labels, date()));
  await rename(`${featureFile}.part`, featureFile);
  return 'done';
}

function prefixed(labels: NodeLabels): Record<string, string> {
  return Object.fromEntries(
    Object.entries(labels).map(([name, value]) => [`${labelPrefix}${name}`, value]),
  );
}
