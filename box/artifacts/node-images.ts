import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run, runResult } from '../run.ts';
import { cached, type Progress } from './build-cache.ts';
import { tarOfLayout } from './images.ts';

/** A containerd that starts reads its plugins in a second; a busy machine takes longer. */
const startMs = 60_000;

/** What decides where containerd keeps images. Nodes and the folder of the cache must agree. */
export const storage = `disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt",
]`;

/**
 * The root of a containerd that has imported an OCI image layout and docker archives, as a folder
 * of the cache. A node starts with a copy of it, because an import unpacks a gigabyte: some ten CPU
 * seconds for each node of each mesh.
 */
export async function nodeImages(
  layout: string,
  archives: string[],
  progress: Progress,
): Promise<string> {
  const version = await run('containerd', ['--version']);
  // Folders of the cache have the hash of their contents in their names.
  const pins = [basename(layout), storage, version];
  const base = await cached('node-images', pins, progress, (out) =>
    importAll(join(out, 'containerd'), [tarOfLayout(layout)]),
  );
  if (archives.length === 0) return base;
  const more = archives.map((file) => basename(dirname(file)));
  return cached('node-images-more', [basename(base), ...more], progress, async (out) => {
    await copyNodeImages(base, out);
    await importAll(
      join(out, 'containerd'),
      archives.map((file) => `cat ${file}`),
    );
  });
}

/** `imports` are shell commands; each prints a layout or an archive as a tar. */
async function importAll(root: string, imports: string[]): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'lazyscope-images-'));
  const socket = join(folder, 'containerd.sock');
  const lines = ['version = 2', `root = "${root}"`, `state = "${join(folder, 'state')}"`, storage];
  await writeFile(
    join(folder, 'containerd.toml'),
    [...lines, '[grpc]', `address = "${socket}"`].join('\n'),
  );
  // A mount namespace of its own: what containerd mounts while it unpacks stays out of this one.
  const child = spawn(
    'unshare',
    [
      ...['--mount', '--propagation', 'private', 'containerd'],
      ...['--config', join(folder, 'containerd.toml')],
    ],
    { stdio: 'ignore' },
  );
  const exited = once(child, 'exit');
  try {
    const deadline = Date.now() + startMs;
    while ((await runResult('ctr', ['-a', socket, 'version'])).code !== 0) {
      if (child.exitCode !== null || Date.now() > deadline)
        throw new Error('containerd did not start; the package `containerd` may be broken');
      await sleep(100);
    }
    for (const source of imports)
      await run('bash', [
        ...['-o', 'pipefail', '-c'],
        `${source} | ctr -a ${socket} -n k8s.io images import -`,
      ]);
  } finally {
    child.kill('SIGTERM');
    await exited;
    await rm(folder, { recursive: true });
  }
}

/**
 * Puts a copy of `nodeImages` where a node's containerd will look. Files are hard links, which
 * share the page cache too: containerd and overlayfs never change a file of an image, only remove
 * it. containerd's databases do change, so they are copied.
 */
export function copyNodeImages(from: string, lib: string): Promise<string> {
  const source = join(from, 'containerd');
  const target = join(lib, 'containerd');
  return run('bash', [
    '-euc',
    `cp --archive --link ${source} ${target} 2>/dev/null ||
       { rm -rf ${target}; cp --archive ${source} ${target}; }
     cd ${target}
     find . -name '*.db' -exec cp --archive --remove-destination ${source}/{} {} \\;`,
  ]);
}
