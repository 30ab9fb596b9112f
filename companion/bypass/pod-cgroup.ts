import { access, readFile, statfs } from 'node:fs/promises';
import { join } from 'node:path';

/** CGROUP2_SUPER_MAGIC, linux/magic.h. */
const cgroup2 = 0x63677270;

export type Layout = { kind: 'v2' | 'hybrid' | 'v1'; root: string };

/** The cgroup layout of the machine: `root` is the v2 hierarchy, if there is one. */
export async function readLayout(mount: string): Promise<Layout> {
  if (await isCgroup2(mount)) return { kind: 'v2', root: mount };
  const unified = join(mount, 'unified');
  if (await isCgroup2(unified)) return { kind: 'hybrid', root: unified };
  return { kind: 'v1', root: mount };
}

async function isCgroup2(path: string): Promise<boolean> {
  const { type } = await statfs(path).catch(() => ({ type: 0 }));
  return type === cgroup2;
}

/**
 * This process's cgroup in the v2 hierarchy, which has its own sockets; throws if there is none.
 */
export async function ownCgroup(layout: Layout): Promise<string> {
  const text = await readFile('/proc/self/cgroup', 'utf8');
  const path = join(layout.root, /^0::(.*)$/m.exec(text)?.[1] ?? '/');
  // Only the root of the whole machine has no parent; its sockets must not be used for tests.
  await access(join(path, 'cgroup.events')).catch(() => {
    throw new Error(`this process has no cgroup of its own at ${path}: run it as a pod`);
  });
  return path;
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
  for (const candidate of podCgroups(uid, qosClass)) {
    const path = join(layout.root, candidate);
    if (await isCgroup2(path)) return path;
  }
  return undefined;
}
