import { readdir } from 'node:fs/promises';

/** Names of the patches that the running kernel has; none without CONFIG_LIVEPATCH. */
export async function readLivePatches(path = '/sys/kernel/livepatch'): Promise<string> {
  return (await readdir(path).catch(() => [])).sort().join(',');
}
