import { access, readFile } from 'node:fs/promises';
import { arch, release } from 'node:os';
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

/** The flags of the first processor: `flags` on x86, `Features` on arm. */
export function readFlags(cpuinfo: string): Set<string> {
  const line = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(cpuinfo)?.[1] ?? '';
  return new Set(line.split(/\s+/));
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** The tracepoint `sock_recv_length` came with Linux 6.3; all other requirements are older. */
const oldestKernel = { major: 6, minor: 3 };

/** The reason why the node does not qualify, before any test; undefined if it may qualify. */
export function disqualification({ kernel, btf, cgroups }: Features): string | undefined {
  const [major = 0, minor = 0] = kernel.split('.').map((part) => Number.parseInt(part, 10));
  if (major < oldestKernel.major || (major === oldestKernel.major && minor < oldestKernel.minor))
    return `Linux ${kernel} is older than ${oldestKernel.major}.${oldestKernel.minor}, the first version that reports what a socket has read`;
  if (!btf) return 'the kernel has no BTF (CONFIG_DEBUG_INFO_BTF), which describes its structs';
  if (cgroups === 'v1')
    return 'the node has only cgroup v1, which cannot tell the sockets of a pod from those of other pods';
  return undefined;
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
