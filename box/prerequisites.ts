import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Commands that the mesh runs, and the Debian package that brings each. */
const packages: Record<string, string> = {
  bash: 'bash',
  conntrack: 'conntrack',
  containerd: 'containerd',
  ctr: 'containerd',
  curl: 'curl',
  flock: 'util-linux',
  ip: 'iproute2',
  iptables: 'iptables',
  mmdebstrap: 'mmdebstrap',
  nsenter: 'util-linux',
  openssl: 'openssl',
  runc: 'runc',
  tar: 'tar',
};

/** Missing prerequisites of all builds; each entry is a sentence with its remedy. */
export function missingPrerequisites(forWhat: 'mesh' | 'product' = 'mesh'): string[] {
  const missing: string[] = [];
  if (process.platform !== 'linux') return ['the mesh needs Linux: it is made of namespaces'];
  if (process.getuid?.() !== 0) missing.push('root is needed for namespaces: run it with sudo');
  if (!isOnPath('go'))
    missing.push(
      'Go >= 1.26 is needed to build Kubernetes and Istio: see https://go.dev/doc/install',
    );
  const debian = Object.entries(packages)
    .filter(([command]) => !isOnPath(command))
    .map(([, name]) => name);
  // buildah builds the companion image.
  if (forWhat === 'product' && !isOnPath('buildah')) debian.push('buildah');
  if (!exists('/usr/lib/cni/bridge') && !exists('/opt/cni/bin/bridge'))
    debian.push('containernetworking-plugins');
  if (debian.length > 0)
    missing.push(`missing packages: apt-get install -y ${[...new Set(debian)].join(' ')}`);
  return missing;
}

/** Whether a program of this name can be run. */
export function isOnPath(command: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((dir) => exists(join(dir, command)));
}

function exists(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
