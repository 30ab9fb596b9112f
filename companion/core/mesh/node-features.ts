/**
 * What the hardware and the kernel of a node have, from texts that a process without privileges may
 * read, and the labels that say so.
 */
export type NodeFacts = {
  /** As uname reports it: `6.8.0-45-generic`. */
  kernel: string;
  /** As Node.js names it: `x64`, `arm64`. */
  architecture: string;
  /** /proc/cpuinfo, or its beginning: the flags of the first processor count. */
  cpuinfo: string;
  /** /proc/self/cgroup. */
  selfCgroup: string;
  /** The kernel describes its structs (/sys/kernel/btf/vmlinux). */
  btf: boolean;
  /** Names in /sys/kernel/mm/hugepages, and how many pages of each size are reserved. */
  hugePages: readonly { name: string; pages: number }[];
  /** The `uevent` of each PCI device; a node without the bus has none. */
  pciDevices: readonly string[];
};

/** Labels without their prefix: name to value. */
export type NodeLabels = Record<string, string>;

export const labelPrefix = 'lazyscope.io/';

/** Flags as Linux names them in /proc/cpuinfo, and what they are called here. */
const cpuFlags: Record<string, Record<string, string>> = {
  x64: {
    ...{ aes: 'aes', vaes: 'vaes', sha_ni: 'sha', bmi2: 'bmi2', gfni: 'gfni' },
    ...{ avx512f: 'avx512f', avx512dq: 'avx512dq', avx512bw: 'avx512bw' },
    ...{ avx512ifma: 'avx512ifma', avx512_vbmi2: 'avx512vbmi2' },
  },
  arm64: {
    ...{ aes: 'aes', pmull: 'pmull', sha1: 'sha1', sha2: 'sha2', sha3: 'sha3' },
    ...{ sha512: 'sha512', asimd: 'asimd', sve: 'sve', sve2: 'sve2' },
  },
};

/**
 * What CryptoMb needs, by Intel's guide for Istio (intel.github.io/istio, "Envoy CryptoMb"). Envoy
 * asks the library again at run time, which also looks whether the kernel saves the registers.
 */
const cryptoMbFlags = ['bmi2', 'avx512f', 'avx512dq', 'avx512bw', 'avx512ifma', 'avx512vbmi2'];

/** Physical and virtual functions of QAT, drivers/crypto/intel/qat in Linux: C62x to 6xxx. */
const qatDevices = new Set([
  ...['37C8', '4940', '4942', '4944', '4946', '4948'],
  ...['37C9', '4941', '4943', '4945', '4947', '4949'],
]);

/** The flags of the first processor: `flags` on x86, `Features` on arm. */
export function readFlags(cpuinfo: string): Set<string> {
  const line = /^(?:flags|Features)[ \t]*:[ \t]*(.*)$/m.exec(cpuinfo)?.[1] ?? '';
  return new Set(line.split(/\s+/).filter((flag) => flag !== ''));
}

/** Every value is a valid value of a label: a word of a table, or a number. */
export function labelsOf(facts: NodeFacts): NodeLabels {
  const flags = readFlags(facts.cpuinfo);
  const known = Object.entries(cpuFlags[facts.architecture] ?? {});
  const cpu = known.filter(([flag]) => flags.has(flag)).map(([, name]) => name);
  const version = /^(\d{1,5})\.(\d{1,5})(?!\d)/.exec(facts.kernel);
  const hasCryptoMb = facts.architecture === 'x64' && cryptoMbFlags.every((f) => cpu.includes(f));
  return {
    ...(version && { kernel: `${version[1]}.${version[2]}` }),
    btf: String(facts.btf),
    cgroups: cgroupsOf(facts.selfCgroup),
    ...Object.fromEntries(cpu.map((name) => [`cpu-${name}`, 'true'])),
    ...Object.fromEntries(facts.hugePages.flatMap(hugePagesLabel)),
    cryptomb: String(hasCryptoMb),
    qat: String(facts.pciDevices.some(isQat)),
  };
}

/** More than every label above; each of at most 63 bytes, as Kubernetes has it. */
const labelsMax = 64;

/** What a controller keeps of the labels that a companion sent, which may be a newer one. */
export function acceptedLabels(labels: Record<string, string>): NodeLabels {
  const isLabel = ([name, value]: [string, string]) =>
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(name) && /^[A-Za-z0-9._-]{1,63}$/.test(value);
  return Object.fromEntries(Object.entries(labels).filter(isLabel).slice(0, labelsMax));
}

function cgroupsOf(selfCgroup: string): 'v1' | 'hybrid' | 'v2' {
  const lines = selfCgroup.split('\n').filter((line) => line !== '');
  if (!lines.some((line) => line.startsWith('0::'))) return 'v1';
  return lines.length === 1 ? 'v2' : 'hybrid';
}

/** `hugepages-2048kB` with pages is `hugepages-2Mi`, as Kubernetes names the resource. */
function hugePagesLabel({ name, pages }: NodeFacts['hugePages'][number]): [string, string][] {
  const kibibytes = Number(/^hugepages-(\d{1,9})kB$/.exec(name)?.[1] ?? 0);
  if (kibibytes === 0 || !Number.isSafeInteger(pages) || pages <= 0) return [];
  const [unit, size] = ['Ki', 'Mi', 'Gi'].reduce(
    ([last, value], next) => (value % 1024 === 0 ? [next, value / 1024] : [last, value]),
    ['', kibibytes * 1024] as [string, number],
  );
  return [[`hugepages-${size}${unit}`, String(pages)]];
}

function isQat(uevent: string): boolean {
  const [, vendor, device = ''] = /^PCI_ID=([0-9A-F]{4}):([0-9A-F]{4})$/im.exec(uevent) ?? [];
  return vendor === '8086' && qatDevices.has(device.toUpperCase());
}

/** The tracepoint `sock_recv_length` came with Linux 6.3; all other requirements are older. */
const oldestKernel = { major: 6, minor: 3 };

/** Why a node cannot have the bypass, before any test; undefined if it may. */
export function bypassDisqualification(node: {
  kernel: string;
  btf: boolean;
  cgroups: string;
}): string | undefined {
  const { kernel, btf, cgroups } = node;
  const [major = 0, minor = 0] = kernel.split('.').map((part) => Number.parseInt(part, 10));
  if (major < oldestKernel.major || (major === oldestKernel.major && minor < oldestKernel.minor))
    return `Linux ${kernel} is older than ${oldestKernel.major}.${oldestKernel.minor}, the first version that reports what a socket has read`;
  if (!btf) return 'the kernel has no BTF (CONFIG_DEBUG_INFO_BTF), which describes its structs';
  if (cgroups === 'v1')
    return 'the node has only cgroup v1, which cannot tell the sockets of a pod from those of other pods';
  return undefined;
}
