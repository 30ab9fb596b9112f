import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { KubeError, type KubeObject } from '../../../../companion/kube/object.ts';
import { createFeatures, nodeFeatureOf, repeatMs } from '../../../../companion/node/features.ts';
import { createNodeMetrics } from '../../../../companion/node/metrics.ts';
import { readNodeFacts } from '../../../../companion/node/node-facts.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'lazyscope-features-'));
});
afterEach(() => rm(root, { recursive: true }));

async function put(path: string, text: string): Promise<void> {
  const file = join(root, path);
  await mkdir(join(file, '..'), { recursive: true });
  await writeFile(file, text);
}

const pages = 'sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages';
const pod = { namespace: 'lazyscope-system', podName: 'lazyscope-node-x', podUid: '1-2-3' };

async function rig(file = '') {
  await put('proc/cpuinfo', 'flags : aes\n');
  await put('proc/self/cgroup', '0::/\n');
  await put(pages, '4\n');
  const applied: KubeObject[] = [];
  const registry = new Registry();
  const state = { served: true, failing: false, now: 0 };
  const features = createFeatures({
    config: { nodeName: 'node-1', ...pod, featureFile: file },
    kube: {
      serves: async () => state.served,
      async apply(object) {
        if (state.failing) throw new KubeError(403, 'forbidden');
        applied.push(object);
        return object;
      },
    },
    readFacts: () => readNodeFacts(root),
    metrics: createNodeMetrics(registry),
    log: pino({ level: 'silent' }),
    now: () => state.now,
    date: () => Date.parse('2026-11-28T12:00:00Z'),
  });
  async function outcomes() {
    const found = await registry.getSingleMetric('lazyscope_node_feature_writes_total')?.get();
    return (found?.values ?? []).map(
      ({ labels, value }) => `${labels.to} ${labels.outcome} ${value}`,
    );
  }
  return { features, applied, state, outcomes };
}

test('the features are a NodeFeature of the node, which belongs to the pod', async () => {
  const { features, applied } = await rig();
  await features.round();
  expect(applied).toMatchObject([
    {
      ...{ apiVersion: 'nfd.k8s-sigs.io/v1alpha1', kind: 'NodeFeature' },
      metadata: {
        ...{ name: 'lazyscope-node-1', namespace: 'lazyscope-system' },
        labels: { 'nfd.node.kubernetes.io/node-name': 'node-1' },
        ownerReferences: [{ kind: 'Pod', name: 'lazyscope-node-x', uid: '1-2-3' }],
      },
      spec: { labels: { 'lazyscope.io/cgroups': 'v2', 'lazyscope.io/hugepages-2Mi': '4' } },
    },
  ]);
});

test('a change is published at the next round, and what is unchanged after ten minutes', async () => {
  const { features, applied, state } = await rig();
  await features.round();
  await features.round();
  expect(applied).toHaveLength(1);
  await put(pages, '0\n');
  await features.round();
  expect(applied).toHaveLength(2);
  expect(applied[1]?.spec.labels['lazyscope.io/hugepages-2Mi']).toBeUndefined();
  state.now += repeatMs;
  await features.round();
  expect(applied).toHaveLength(3);
});

test('without Node Feature Discovery nothing is written, and a refusal stops nothing', async () => {
  const { features, applied, state, outcomes } = await rig();
  state.served = false;
  await features.round();
  expect(applied).toEqual([]);
  state.served = true;
  state.failing = true;
  state.now += repeatMs;
  await features.round();
  expect(await outcomes()).toEqual(['nfd not-served 1', 'nfd failed 1']);
  expect(features.labels()).toMatchObject({ cgroups: 'v2' });
});

test('the feature file expires by itself when nobody writes it any more', async () => {
  const file = join(root, 'features.d-lazyscope');
  const { features } = await rig(file);
  await features.round();
  const [first, ...lines] = (await readFile(file, 'utf8')).trimEnd().split('\n');
  expect(first).toBe('# +expiry-time=2026-11-28T12:30:00Z');
  expect(lines).toContain('lazyscope.io/cgroups=v2');
  for (const line of lines) expect(line).toMatch(/^lazyscope\.io\/[\w.-]{1,63}=[\w.-]{1,63}$/);
});

test('no NodeFeature that nobody would delete, or whose label would be too long', () => {
  const config = { nodeName: 'node-1', ...pod, featureFile: '' };
  expect(nodeFeatureOf(config, {})).toBeDefined();
  expect(nodeFeatureOf({ ...config, podUid: '' }, {})).toBeUndefined();
  expect(nodeFeatureOf({ ...config, nodeName: 'n'.repeat(64) }, {})).toBeUndefined();
});

test('a node whose files cannot be read has no features, and no failure', async () => {
  const facts = await readNodeFacts(join(root, 'nowhere'));
  expect(facts).toMatchObject({ cpuinfo: '', btf: false, hugePages: [], pciDevices: [] });
});
