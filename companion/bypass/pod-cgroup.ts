import { access, readdir, readFile, statfs } from 'node:fs/promises';
import { basename, join } from 'node:path';

/** CGROUP2_SUPER_MAGIC, linux/magic.h. */
const cgroup2 = 0x63677270;

/**
 * The cgroup layout of the machine: `root` is the v2 hierarchy, if there is one, and `kubelets` are
 * the folders below it with pods.
 */
export type Layout = { kind: 'v2' | 'hybrid' | 'v1'; root: string; kubelets: string[] };

export async function readLayout(mount: string): Promise<Layout> {
  const unified = join(mount, 'unified');
  if (await isCgroup2(mount)) return layoutOf('v2', mount);
  return (await isCgroup2(unified)) ? layoutOf('hybrid', unified) : layoutOf('v1', mount);
}

async function layoutOf(kind: Layout['kind'], root: string): Promise<Layout> {
  return { kind, root, kubelets: kind === 'v1' ? [] : await kubeletFolders(root) };
}

async function isCgroup2(path: string): Promise<boolean> {
  const { type } = await statfs(path).catch(() => ({ type: 0 }));
  return type === cgroup2;
}

/**
 * This process's cgroup in the v2 hierarchy, which has its own sockets, by the first layout that
 * shows it; throws if there is none. In the mount of a container it is the root; on a hybrid node
 * that mount has v1 alone, and the node's mount has it.
 */
export async function ownCgroup(layouts: readonly Layout[]): Promise<string> {
  const own = /^0::(.*)$/m.exec(await readFile('/proc/self/cgroup', 'utf8'))?.[1] ?? '/';
  const paths = layouts.map(({ root }) => join(root, own));
  for (const path of paths) {
    // Only the root of the whole machine has no parent; its sockets must not be used for tests.
    const hasParent = access(join(path, 'cgroup.events')).then(() => true);
    if (await hasParent.catch(() => false)) return path;
  }
  throw new Error(
    `this process has no cgroup of its own at ${paths.join(' or ')}: run it as a pod`,
  );
}

/** Below the root: deeper than settings of kubelets (`cgroupRoot`) are in practice. */
const kubeletDepth = 3;

/**
 * The folders below `root` that hold the cgroups of a kubelet: the root, and what its setting
 * `cgroupRoot` may name.
 */
export async function kubeletFolders(root: string): Promise<string[]> {
  const found = ['/'];
  let level = ['/'];
  for (let depth = 1; depth <= kubeletDepth; depth++) {
    const below = await Promise.all(level.map((folder) => foldersIn(root, folder)));
    level = below.flat().filter((folder) => !/^kubepods(\.slice)?$/.test(basename(folder)));
    const kubelets = await Promise.all(
      level.map(async (folder) => (await holdsPods(root, folder)) && folder),
    );
    found.push(...kubelets.filter((folder) => folder !== false));
  }
  return found;
}

async function foldersIn(root: string, folder: string): Promise<string[]> {
  const entries = await readdir(join(root, folder), { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(folder, name));
}

async function holdsPods(root: string, folder: string): Promise<boolean> {
  const pods = ['kubepods', 'kubepods.slice'].map((name) => access(join(root, folder, name)));
  return (await Promise.allSettled(pods)).some(({ status }) => status === 'fulfilled');
}

/**
 * Possible paths of a pod's cgroup, as the kubelet names them: both cgroup drivers, and the extra
 * level of nodes that are containers themselves (kubernetes:
 * pkg/kubelet/cm/cgroup_manager_linux.go).
 */
export function podCgroups(uid: string, qosClass: string): string[] {
  const qos = qosClass === 'Guaranteed' ? '' : qosClass.toLowerCase();
  const level = qos && `-${qos}`;
  const slice = uid.replaceAll('-', '_');
  const slices = (prefix: string) =>
    join(
      `${prefix}kubepods.slice`,
      qos && `${prefix}kubepods${level}.slice`,
      `${prefix}kubepods${level}-pod${slice}.slice`,
    );
  return [
    slices(''),
    join('kubelet.slice', slices('kubelet-')),
    join('kubepods', qos, `pod${uid}`),
    join('kubelet', 'kubepods', qos, `pod${uid}`),
  ];
}

/** The existing path; undefined if the pod has no cgroup in the v2 hierarchy. */
export async function findPodCgroup(
  layout: Layout,
  uid: string,
  qosClass: string,
): Promise<string | undefined> {
  for (const folder of layout.kubelets)
    for (const candidate of podCgroups(uid, qosClass)) {
      const path = join(layout.root, folder, candidate);
      if (await isCgroup2(path)) return path;
    }
  return undefined;
}
