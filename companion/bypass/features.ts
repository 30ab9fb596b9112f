import { access, readFile } from 'node:fs/promises';
import { arch, release } from 'node:os';
import { readFlags } from '../core/mesh/node-features.ts';
import type { Layout } from './pod-cgroup.ts';

/**
 * The features of the node that the bypass requires, and others that a cluster may select nodes by.
 */
export type Features = {
  kernel: string;
  architecture: string;
  btf: boolean;
  cgroups: Layout['kind'];
  /** The kernel supports kTLS; a redirected socket cannot use it. */
  ktls: boolean;
  mptcp: boolean;
  aes: boolean;
  avx512: boolean;
  vaes: boolean;
};

export async function readFeatures(layout: Layout): Promise<Features> {
  const flags = readFlags(await readFile('/proc/cpuinfo', 'utf8').catch(() => ''));
  const mptcp = await readFile('/proc/sys/net/mptcp/enabled', 'utf8').catch(() => '0');
  return {
    kernel: release(),
    architecture: arch(),
    btf: await exists('/sys/kernel/btf/vmlinux'),
    cgroups: layout.kind,
    ktls: await exists('/proc/net/tls_stat'),
    mptcp: mptcp.trim() === '1',
    aes: flags.has('aes'),
    avx512: flags.has('avx512f'),
    vaes: flags.has('vaes'),
  };
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Lines of a feature file of Node Feature Discovery, which turns each into a label. */
export function featureFile(features: Features, qualified: boolean): string {
  const { kernel, btf, cgroups, ktls, mptcp, aes, avx512, vaes } = features;
  const [major = '0', minor = '0'] = kernel.split('.');
  const values = {
    'bypass-capable': qualified,
    'bypass-kernel': `${major}.${Number.parseInt(minor, 10) || 0}`,
    'bypass-btf': btf,
    'bypass-cgroups': cgroups,
    'bypass-ktls': ktls,
    'bypass-mptcp': mptcp,
    'cpu-aes': aes,
    'cpu-avx512': avx512,
    'cpu-vaes': vaes,
  };
  return Object.entries(values)
    .map(([name, value]) => `lazyscope.io/${name}=${value}\n`)
    .join('');
}
