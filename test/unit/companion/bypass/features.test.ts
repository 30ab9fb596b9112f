import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Features, featureFile } from '../../../../companion/bypass/features.ts';
import { kubeletFolders, podCgroups } from '../../../../companion/bypass/pod-cgroup.ts';
import { createReport, isCapable, nodeOf } from '../../../../companion/bypass/report.ts';
import {
  bypassDisqualification,
  readFlags,
} from '../../../../companion/core/mesh/node-features.ts';

const features: Features = {
  kernel: '6.18.44-cloud',
  architecture: 'x64',
  btf: true,
  cgroups: 'v2',
  ktls: false,
  mptcp: true,
  aes: true,
  avx512: false,
  vaes: false,
};

test('a node that lacks a requirement is refused with the requirement', () => {
  expect(bypassDisqualification(features)).toBeUndefined();
  expect(bypassDisqualification({ ...features, cgroups: 'hybrid' })).toBeUndefined();
  expect(bypassDisqualification({ ...features, kernel: '7.0.1' })).toBeUndefined();
  expect(bypassDisqualification({ ...features, kernel: '6.2.16' })).toContain('older than 6.3');
  expect(bypassDisqualification({ ...features, kernel: '5.15.0' })).toContain('older than 6.3');
  expect(bypassDisqualification({ ...features, btf: false })).toContain('no BTF');
  expect(bypassDisqualification({ ...features, cgroups: 'v1' })).toContain('cgroup v1');
});

test('the feature file has a line for each feature that is a valid label', () => {
  const lines = featureFile(features, true).trimEnd().split('\n');
  expect(lines).toContain('lazyscope.io/bypass-capable=true');
  expect(lines).toContain('lazyscope.io/bypass-kernel=6.18');
  expect(lines).toContain('lazyscope.io/cpu-aes=true');
  // Kubernetes' rules for names and values of labels (apimachinery/pkg/util/validation).
  for (const line of lines)
    expect(line).toMatch(/^lazyscope\.io\/[a-z0-9-]{1,63}=[A-Za-z0-9.]{1,63}$/);
});

test('flags are read on x86 and on arm', () => {
  expect(readFlags('processor : 0\nflags\t\t: fpu aes avx512f\n\nflags : x').has('aes')).toBe(true);
  expect(readFlags('Features\t: fp asimd aes').has('aes')).toBe(true);
  expect(readFlags('').has('aes')).toBe(false);
});

test('a pod is found where either cgroup driver puts it', () => {
  expect(podCgroups('1-2', 'Burstable')).toEqual([
    'kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice',
    'kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod1_2.slice',
    'kubepods/burstable/pod1-2',
    'kubelet/kubepods/burstable/pod1-2',
  ]);
  expect(podCgroups('1-2', 'Guaranteed')).toEqual([
    'kubepods.slice/kubepods-pod1_2.slice',
    'kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod1_2.slice',
    'kubepods/pod1-2',
    'kubelet/kubepods/pod1-2',
  ]);
});

test('the report of a node full of refused pods fits into its annotations', () => {
  const refused = Array.from({ length: 500 }, (_, i) => ({
    uid: `${i}`,
    namespace: 'n'.repeat(63),
    name: 'p'.repeat(63),
    qosClass: 'Burstable',
    ports: [],
    refused: 'r'.repeat(100),
  }));
  const selftest = { checks: { order: 'ok' }, passed: true };
  const report = createReport({ name: 'ready' }, { features, selftest }, refused);
  const { labels, annotations } = nodeOf('a', report).metadata;
  expect(JSON.stringify(annotations).length).toBeLessThan(16_384);
  expect(labels).toEqual({ 'lazyscope.io/bypass-capable': 'true' });
  expect(annotations?.['lazyscope.io/bypass-state']).toBe('ready');
});

test('a node is capable only after a passed self-test', () => {
  const selftest = { checks: {}, passed: true }.checks;
  expect(isCapable({ state: { name: 'off', reason: '' }, selftest: undefined })).toBe(false);
  expect(isCapable({ state: { name: 'refused', reason: '' }, selftest })).toBe(false);
  expect(isCapable({ state: { name: 'active', pods: 1 }, selftest })).toBe(true);
});

test('pods are looked for below the root and where a kubelet may have another root', async () => {
  const root = mkdtempSync(join(tmpdir(), 'lazyscope-cgroups-'));
  const folders = [
    ...['kubepods/burstable/poda', 'system.slice/sshd.service', 'box/node-1/kubepods/podb'],
    ...['box/node-2/kubepods.slice', 'a/b/c/d/kubepods'],
  ];
  for (const folder of folders) mkdirSync(join(root, folder), { recursive: true });
  expect(await kubeletFolders(root)).toEqual(['/', '/box/node-1', '/box/node-2']);
  rmSync(root, { recursive: true });
});
