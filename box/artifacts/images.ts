import { createHash } from 'node:crypto';
import { link, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Binaries, binary } from './binaries.ts';
import { cached, type Progress } from './build-cache.ts';
import { baseLayer, fileLayer, type Layer } from './image-layers.ts';

/** The registry part of our image names. It resolves nowhere: images are loaded, never pulled. */
export const imageHub = 'lazyscope.test';
export const imageTag = '1';

export const imageName = (name: string) => `${imageHub}/${name}:${imageTag}`;

/** The user that Istio's images run as (manifests/charts, `runAsUser: 1337`). */
const istioUser = 1337;

export type Image = { name: string; layers: Layer[]; entrypoint: string[]; user: string };

/** Every image of the mesh. `app` and `envoy` are paths of the test application and of Envoy. */
export async function meshImages(
  binaries: Binaries,
  app: string,
  envoy: string,
  progress: Progress,
): Promise<Image[]> {
  const base = await baseLayer(progress);
  const program = async (name: string, from: string) => {
    const path = `/usr/local/bin/${name}`;
    return fileLayer(name, [{ path, from }], progress);
  };
  const image = (name: string, layers: Layer[], entrypoint: string[], user = '0') => ({
    name: imageName(name),
    layers: [base, ...layers],
    entrypoint,
    user,
  });
  const agent = binary(binaries, 'pilot-agent');
  const proxy = await fileLayer(
    'proxyv2',
    [
      { path: '/usr/local/bin/pilot-agent', from: agent },
      { path: '/usr/local/bin/envoy', from: envoy },
      {
        path: '/var/lib/istio/envoy/envoy_bootstrap_tmpl.json',
        from: binary(binaries, 'envoy_bootstrap.json'),
        mode: 0o644,
      },
      // The agent runs without root and keeps fetched Wasm modules here.
      { path: '/var/lib/istio/data', directory: true, uid: istioUser },
    ],
    progress,
  );
  const pilot = await program('pilot-discovery', binary(binaries, 'pilot-discovery'));
  const coredns = await program('coredns', binary(binaries, 'coredns'));
  const meshapp = await program('meshapp', app);
  return [
    image('pause', [], ['/bin/sleep', 'infinity'], '65535'),
    image('pilot', [pilot], ['/usr/local/bin/pilot-discovery'], String(istioUser)),
    image('proxyv2', [proxy], ['/usr/local/bin/pilot-agent'], String(istioUser)),
    image('coredns', [coredns], ['/usr/local/bin/coredns']),
    image('app', [meshapp], ['/usr/local/bin/meshapp'], '1000'),
  ];
}

/** An image of the base layer and the given files, for `mesh image NAME FILE...`. */
export async function imageOfFiles(
  name: string,
  files: string[],
  progress: Progress,
): Promise<Image> {
  const layer = await fileLayer(
    'files',
    files.map((from) => ({ path: `/usr/local/bin/${from.split('/').at(-1)}`, from })),
    progress,
  );
  const first = `/usr/local/bin/${files[0]?.split('/').at(-1)}`;
  return { name, layers: [await baseLayer(progress), layer], entrypoint: [first], user: '0' };
}

/**
 * The images as one OCI image layout (https://github.com/opencontainers/image-spec,
 * image-layout.md), a folder of the cache that `ctr image import` takes as a tar. Layers are hard
 * links: nothing is copied.
 */
export async function ociLayout(images: Image[], progress: Progress): Promise<string> {
  return cached('images', [JSON.stringify(images)], progress, async (dir) => {
    const blobs = join(dir, 'blobs', 'sha256');
    await mkdir(blobs, { recursive: true });
    const manifests: object[] = [];
    for (const image of images) manifests.push(await writeImage(blobs, image));
    await writeFile(join(dir, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
    await writeFile(join(dir, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
  });
}

async function writeImage(blobs: string, image: Image): Promise<object> {
  for (const layer of image.layers) await linkBlob(layer, blobs);
  const manifest = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      ...(await writeBlob(blobs, imageConfig(image))),
    },
    layers: image.layers.map(({ digest, size }) => ({
      mediaType: 'application/vnd.oci.image.layer.v1.tar',
      digest,
      size,
    })),
  };
  return {
    mediaType: manifest.mediaType,
    ...(await writeBlob(blobs, manifest)),
    annotations: { 'io.containerd.image.name': image.name },
  };
}

async function writeBlob(blobs: string, value: object) {
  const bytes = Buffer.from(JSON.stringify(value));
  const hex = createHash('sha256').update(bytes).digest('hex');
  await writeFile(join(blobs, hex), bytes);
  return { digest: `sha256:${hex}`, size: bytes.length };
}

async function linkBlob(layer: Layer, blobs: string): Promise<void> {
  const target = join(blobs, layer.digest.slice('sha256:'.length));
  await rm(target, { force: true });
  await link(layer.file, target);
}

function imageConfig(image: Image): object {
  return {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: {
      Entrypoint: image.entrypoint,
      User: image.user,
      WorkingDir: '/',
      Env: ['PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin'],
    },
    rootfs: { type: 'layers', diff_ids: image.layers.map((layer) => layer.digest) },
  };
}

/**
 * Shell command that prints a layout as a tar. It lists the entries by name, because every use of
 * the cache changes the time of the folder, and tar fails when that happens.
 */
export function tarOfLayout(dir: string): string {
  return `tar -C ${dir} -cf - oci-layout index.json blobs`;
}
