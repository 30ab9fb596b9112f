import { open, readdir, readFile } from 'node:fs/promises';
import { arch, release } from 'node:os';
import { join } from 'node:path';
import type { NodeFacts } from '../core/mesh/node-features.ts';

/**
 * Reads the facts of the node from /proc and /sys, which a container sees as the node does, without
 * privileges and without a mount. What cannot be read counts as absent.
 */
export async function readNodeFacts(root = '/'): Promise<NodeFacts> {
  const [cpuinfo, selfCgroup, btf, hugePages, pciDevices] = await Promise.all([
    beginningOf(join(root, 'proc/cpuinfo')),
    textOf(join(root, 'proc/self/cgroup')),
    namesIn(join(root, 'sys/kernel/btf')),
    hugePagesIn(join(root, 'sys/kernel/mm/hugepages')),
    pciDevicesIn(join(root, 'sys/bus/pci/devices')),
  ]);
  return {
    ...{ kernel: release(), architecture: arch(), cpuinfo, selfCgroup },
    ...{ btf: btf.includes('vmlinux'), hugePages, pciDevices },
  };
}

/** The first processor takes 2 to 3 KB; a machine has hundreds of them. */
const beginningBytes = 16_384;
/** Functions on the bus; large machines have hundreds. */
const pciDevicesMax = 4_096;

async function beginningOf(path: string): Promise<string> {
  try {
    const file = await open(path);
    try {
      const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(beginningBytes) });
      return buffer.toString('latin1', 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch {
    return '';
  }
}

async function textOf(path: string): Promise<string> {
  return readFile(path, 'latin1').catch(() => '');
}

async function namesIn(path: string): Promise<string[]> {
  return readdir(path).catch(() => []);
}

async function hugePagesIn(path: string): Promise<NodeFacts['hugePages']> {
  const names = (await namesIn(path)).sort();
  return Promise.all(
    names.map(async (name) => ({
      name,
      pages: Number.parseInt(await textOf(join(path, name, 'nr_hugepages')), 10) || 0,
    })),
  );
}

async function pciDevicesIn(path: string): Promise<string[]> {
  const found: string[] = [];
  // One after the other, because this may take its time and should not take the disk's threads.
  for (const name of (await namesIn(path)).sort().slice(0, pciDevicesMax)) {
    found.push(await textOf(join(path, name, 'uevent')));
  }
  return found;
}
