import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';

/** Commands that the build and the tests need, with the Debian package of each. */
const commands: Record<string, string> = {
  bpftool: 'bpftool',
  cc: 'gcc',
  clang: 'clang',
  curl: 'curl',
  ip: 'iproute2',
  iptables: 'iptables',
  java: 'openjdk-17-jdk-headless',
  make: 'make',
  nginx: 'nginx-light',
  nsenter: 'util-linux',
  openssl: 'openssl',
  python3: 'python3',
  setcap: 'libcap2-bin',
  setpriv: 'util-linux',
  unshare: 'util-linux',
};

/** Static libraries, with the Debian package of each. */
const libraries: Record<string, string> = {
  'libbpf.a': 'libbpf-dev',
  'libc.a': 'libc6-dev',
  'libelf.a': 'libelf-dev',
  'libz.a': 'zlib1g-dev',
};

/**
 * Missing prerequisites for building and testing the bypass. Each entry is a sentence with the
 * remedy.
 */
export function missingForBypass(): string[] {
  if (process.platform !== 'linux') return ['the bypass needs Linux: it is made of BPF programs'];
  const missing: string[] = [];
  if (process.getuid?.() !== 0) missing.push('root is needed for BPF programs: run it with sudo');
  if (!existsSync('/sys/kernel/btf/vmlinux'))
    missing.push('the kernel has no BTF: one built with CONFIG_DEBUG_INFO_BTF is needed');
  const packages = [
    ...Object.entries(commands).filter(([name]) => !isCommand(name)),
    ...Object.entries(libraries).filter(([name]) => !isLibrary(name)),
  ].map(([, name]) => name);
  if (packages.length > 0)
    missing.push(`missing packages: apt-get install -y ${[...new Set(packages)].join(' ')}`);
  return missing;
}

/** Debian installs bpftool in a folder that only root has in PATH. */
function isCommand(name: string): boolean {
  const folders = (process.env.PATH ?? '').split(delimiter).concat('/usr/sbin', '/sbin');
  return folders.some((folder) => existsSync(join(folder, name)));
}

function isLibrary(name: string): boolean {
  if (!isCommand('cc')) return false;
  const path = execFileSync('cc', [`-print-file-name=${name}`], { encoding: 'utf8' }).trim();
  return isAbsolute(path) && existsSync(path);
}
