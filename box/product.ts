import { appendFile, copyFile, cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import type { Progress } from './artifacts/build-cache.ts';
import {
  companionArchive,
  companionImage,
  type Release,
  thisRelease,
} from './artifacts/companion-image.ts';
import { type Mesh, startMesh } from './mesh.ts';
import { repoDir } from './paths.ts';
import { run } from './run.ts';

export type Mode = 'observe' | 'enforce' | 'off';
/** The route of an unknown call whose question has no answer in time. */
export type Fallback = 'passthrough' | 'direct';
export type FirstCall = 'gateway' | 'direct' | 'hold' | 'passthrough' | 'auto';

const systemNamespace = 'lazyscope-system';

type BaseObject = {
  kind: string;
  metadata: { name: string };
  rules?: { resources: string[]; resourceNames?: string[] }[];
  spec: {
    template: {
      metadata: { annotations?: Record<string, string> };
      spec: { containers: { image: string; env: { name: string; value: string }[] }[] };
    };
  };
};

/** Settings of the controller that tests shorten. */
type ControllerEnvironment = Record<string, string>;

/** For tests that do not depend on the length of the learning window. */
export const narrowAtOnce: ControllerEnvironment = { LAZYSCOPE_LEARNING_WINDOW_SECONDS: '0' };

/**
 * Installs the product as a user would: the image built from the Dockerfile, `manifests/base`
 * applied by kubectl. Returns when controller, node companions and gateway are rolled out.
 */
export async function installProduct(
  mesh: Mesh,
  progress: Progress,
  environment: ControllerEnvironment = {},
): Promise<void> {
  const archive = await companionArchive(progress);
  await mesh.loadArchive(archive);
  // Every build has the same tag, so an annotation restarts the pods if the image has changed.
  await applyBase(mesh, environment, { 'lazyscope.test/image': basename(dirname(archive)) });
}

/**
 * A mesh for a test run with a number of services and the product; see `startMesh` for its end.
 */
export async function startMeshWithProduct(
  services: number,
  progress: Progress,
  environment: ControllerEnvironment = narrowAtOnce,
): Promise<Awaited<ReturnType<typeof startMesh>>> {
  const mesh = await startMesh({ archives: [await companionArchive(progress)] });
  try {
    await Promise.all([mesh.createServices(services), installProduct(mesh, progress, environment)]);
  } catch (error) {
    await mesh.stop();
    throw error;
  }
  return mesh;
}

/** Applies the system again, or into a mesh whose nodes have the image of the release. */
export async function applyBase(
  mesh: Mesh,
  environment: ControllerEnvironment,
  annotations: Record<string, string> = {},
  release: Release = thisRelease,
): Promise<void> {
  const base = await mesh.kubectl(['kustomize', join(repoDir, 'manifests', 'base')]);
  const objects = parseAllDocuments(base).map((document) => document.toJS() as BaseObject);
  const revisions = environment.LAZYSCOPE_REVISIONS?.split(',') ?? [];
  for (const { kind, metadata, spec, rules = [] } of objects) {
    if (kind === 'ClusterRole')
      for (const { resourceNames } of rules)
        if (resourceNames?.includes('istio'))
          resourceNames.push(...revisions.map((revision) => `istio-${revision}`));
    if (!['Deployment', 'DaemonSet'].includes(kind) || metadata.name === 'lazyscope-egress')
      continue;
    const { template } = spec;
    template.metadata.annotations = annotations;
    for (const container of template.spec.containers) container.image = companionImage(release);
    if (kind === 'Deployment')
      for (const [name, value] of Object.entries(environment))
        template.spec.containers[0]?.env.push({ name, value });
  }
  await mesh.apply(objects);
  await mesh.rollout(systemNamespace);
}

/**
 * Enables a namespace with a copy of the kustomization that users copy, and the digest of the
 * filter that the image holds. Workloads in the namespace stay as they are.
 */
export async function enableNamespace(
  mesh: Mesh,
  name: string,
  mode: Mode,
  firstCall?: FirstCall,
  release: Release = thisRelease,
  components: readonly string[] = [],
  fallback: Fallback = 'passthrough',
): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'lazyscope-namespace-'));
  try {
    await cp(join(repoDir, 'manifests', 'namespace'), join(dir, 'namespace'), { recursive: true });
    await cp(join(repoDir, 'manifests', 'example'), join(dir, 'example'), { recursive: true });
    await cp(join(repoDir, 'manifests', 'components'), join(dir, 'components'), {
      recursive: true,
    });
    const added = components.map((component) => `  - ../components/${component}\n`).join('');
    await appendFile(join(dir, 'example', 'kustomization.yaml'), added);
    if (fallback === 'direct') await fallBackDirectly(join(dir, 'namespace', 'wasmplugins.yaml'));
    await copyFile(join(release.dir, 'build', 'filter.wasm'), join(dir, 'filter.wasm'));
    await run(join(dir, 'namespace', 'pin-filter.sh'), [join(dir, 'filter.wasm')]);
    const file = join(dir, 'example', 'namespace.yaml');
    const text = await readFile(file, 'utf8');
    await run('sed', ['-i', `s/my-namespace/${name}/; s/: observe$/: ${mode}/`, file]);
    if (!text.includes('lazyscope.io/mode: observe')) {
      throw new Error(`${file} has no line with lazyscope.io/mode: observe`);
    }
    await mesh.kubectl(['apply', '--server-side', '-k', join(dir, 'example')]);
  } finally {
    await rm(dir, { recursive: true });
  }
  await mesh.kubectl(['label', 'namespace', name, 'istio-injection=enabled', '--overwrite']);
  if (firstCall) await setFirstCall(mesh, name, firstCall);
}

/** Sets `fallback: direct` in both plugins, as manifests/README.md advises for a STRICT mesh. */
async function fallBackDirectly(file: string): Promise<void> {
  const text = await readFile(file, 'utf8');
  const shipped = '    fallback: passthrough\n';
  const cidrs = '    directCidrs: [10.96.0.0/16, 10.244.0.0/16]\n';
  if (text.split(shipped).length !== 3)
    throw new Error(`${file} has not exactly two lines with fallback: passthrough`);
  await writeFile(file, text.replaceAll(shipped, `    fallback: direct\n${cidrs}`));
}

/** Sets the first-call strategy of a namespace, as users do. */
export async function setFirstCall(mesh: Mesh, name: string, value: FirstCall): Promise<void> {
  const annotation = `lazyscope.io/first-call=${value}`;
  await mesh.kubectl(['annotate', 'namespace', name, annotation, '--overwrite']);
}

export async function setMode(mesh: Mesh, name: string, mode: Mode): Promise<void> {
  await mesh.kubectl(['label', 'namespace', name, `lazyscope.io/mode=${mode}`, '--overwrite']);
}
