import { copyFile, readFile, rename } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { boxDir } from '../paths.ts';
import { run } from '../run.ts';
import { cached, hashOfTree, type Progress } from './build-cache.ts';
import { ensureGatewayApi } from './definitions.ts';

type GoModule = {
  /** Folder below `modules/` with the go.mod and go.sum that pin it. */
  name: string;
  /** Binary name -> Go package. */
  binaries: Record<string, string>;
  /** Version strings that the upstream release scripts stamp with the linker. */
  stamps: string[];
  /** Build tags. */
  tags?: string;
  /** A file of the module's sources that is used together with its binaries. */
  file?: { module: string; path: string };
};

const kubernetes = (name: string) => [name, `k8s.io/kubernetes/cmd/${name}`] as const;

/**
 * The Istio that the box runs by default, and others (LAZYSCOPE_MESH_ISTIO), with the folder that
 * pins each. The module proxy serves commits of the development line only. A commit is stamped with
 * the release that it is nearest to: Istio chooses features for a proxy by its own version, which a
 * development build lacks.
 */
const istioModules = { '1.32.0': 'istio', '1.30.0': 'istio-1.30' };

/** The Istio of a version; throws if no folder pins it. */
function istioOf(version: string): GoModule {
  const name = Object.entries(istioModules).find(([known]) => known === version)?.[1];
  if (name === undefined) {
    const known = Object.keys(istioModules).join(', ');
    throw new Error(`LAZYSCOPE_MESH_ISTIO is '${version}'; the box can run ${known}`);
  }
  return {
    name,
    binaries: {
      'pilot-discovery': 'istio.io/istio/pilot/cmd/pilot-discovery',
      'pilot-agent': 'istio.io/istio/pilot/cmd/pilot-agent',
      istioctl: 'istio.io/istio/istioctl/cmd/istioctl',
    },
    stamps: [
      `istio.io/istio/pkg/version.buildVersion=${version}`,
      'istio.io/istio/pkg/version.buildStatus=Clean',
    ],
    file: { module: 'istio.io/istio', path: 'tools/packaging/common/envoy_bootstrap.json' },
  };
}

/** The version that tests and benchmarks run with, unless the environment names another. */
export const istioVersion = process.env.LAZYSCOPE_MESH_ISTIO || '1.32.0';

const goModules = (): GoModule[] => [
  {
    name: 'kubernetes',
    binaries: Object.fromEntries(
      [
        'kube-apiserver',
        'kube-controller-manager',
        'kube-scheduler',
        'kubelet',
        'kube-proxy',
        'kubectl',
      ].map(kubernetes),
    ),
    stamps: [
      'k8s.io/component-base/version.gitVersion=v1.35.4',
      'k8s.io/component-base/version.gitMajor=1',
      'k8s.io/component-base/version.gitMinor=35',
    ],
  },
  istioOf(istioVersion),
  { name: 'etcd', binaries: { etcd: 'go.etcd.io/etcd/server/v3' }, stamps: [] },
  { name: 'coredns', binaries: { coredns: 'github.com/coredns/coredns' }, stamps: [] },
];

/**
 * promtool checks alerts, and prometheus answers the queries of the command. Built without service
 * discovery of clouds, which would triple their sizes.
 */
const prometheus: GoModule = {
  name: 'prometheus',
  binaries: {
    promtool: 'github.com/prometheus/prometheus/cmd/promtool',
    prometheus: 'github.com/prometheus/prometheus/cmd/prometheus',
  },
  stamps: [],
  tags: 'remove_all_sd',
};

/**
 * The Helms that users have, by major version. Tests install the charts with 4, and each night
 * with 3, which has fixes until 2027-02-10 (LAZYSCOPE_HELM=3).
 */
const helms: Record<string, GoModule> = {
  4: {
    name: 'helm',
    binaries: { helm: 'helm.sh/helm/v4/cmd/helm' },
    stamps: ['helm.sh/helm/v4/internal/version.version=v4.3.1'],
  },
  3: {
    name: 'helm3',
    binaries: { helm: 'helm.sh/helm/v3/cmd/helm' },
    stamps: ['helm.sh/helm/v3/internal/version.version=v3.22.0'],
  },
};

const goEnvironment = { CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false' };

/** Path of each binary or source file by its name, e.g. `kubelet`. */
export type Binaries = Record<string, string>;

/** The path of a binary; throws if the table above does not have it. */
export function binary(binaries: Binaries, name: string): string {
  const path = binaries[name];
  if (path === undefined) throw new Error(`no binary named ${name} is built`);
  return path;
}

/** Builds the binaries that the cache lacks: about ten minutes on two cores for all. */
export async function ensureBinaries(progress: Progress): Promise<Binaries> {
  const goVersion = await run('go', ['env', 'GOVERSION', 'GOARCH']);
  const binaries: Binaries = {};
  for (const goModule of goModules()) {
    const dir = await buildModule(goModule, goVersion, progress);
    for (const name of Object.keys(goModule.binaries)) binaries[name] = join(dir, name);
    if (goModule.file) {
      const name = basename(goModule.file.path);
      binaries[name] = join(dir, name);
    }
  }
  binaries['gateway-api.yaml'] = await ensureGatewayApi(progress);
  return binaries;
}

/** Built at their first use, in about two minutes. */
export async function ensurePrometheus(
  progress: Progress,
): Promise<{ promtool: string; prometheus: string }> {
  const goVersion = await run('go', ['env', 'GOVERSION', 'GOARCH']);
  const dir = await buildModule(prometheus, goVersion, progress);
  return { promtool: join(dir, 'promtool'), prometheus: join(dir, 'prometheus') };
}

/** Built at its first use: five minutes of CPU time. */
export async function ensureHelm(
  progress: Progress,
  major = process.env.LAZYSCOPE_HELM || '4',
): Promise<string> {
  const helm = helms[major];
  if (helm === undefined) throw new Error(`LAZYSCOPE_HELM is '${major}'; give 3 or 4`);
  const goVersion = await run('go', ['env', 'GOVERSION', 'GOARCH']);
  return join(await buildModule(helm, goVersion, progress), 'helm');
}

const modulePath = (name: string) => join(boxDir, 'artifacts', 'modules', name);

async function buildModule(goModule: GoModule, goVersion: string, progress: Progress) {
  const cwd = modulePath(goModule.name);
  const pins = [
    await readFile(join(cwd, 'go.mod')),
    await readFile(join(cwd, 'go.sum')),
    JSON.stringify(goModule),
    JSON.stringify(goEnvironment),
    goVersion,
  ];
  return cached(goModule.name, pins, progress, async (dir) => {
    const ldflags = ['-s', '-w', ...goModule.stamps.map((stamp) => `-X ${stamp}`)].join(' ');
    const tags = goModule.tags ? ['-tags', goModule.tags] : [];
    const args = ['build', '-trimpath', ...tags, '-ldflags', ldflags];
    const env = { ...process.env, ...goEnvironment };
    // One command, so that Go links one binary while it compiles the next.
    await run('go', [...args, '-o', `${dir}/`, ...Object.values(goModule.binaries)], { cwd, env });
    for (const [name, pkg] of Object.entries(goModule.binaries))
      if (binaryNameOf(pkg) !== name) await rename(join(dir, binaryNameOf(pkg)), join(dir, name));
    if (goModule.file) await copySource(goModule.file, cwd, dir);
  });
}

/** The name that `go build` gives the binary of a package: its last element without a version. */
const binaryNameOf = (pkg: string) => basename(pkg.replace(/\/v\d+$/, ''));

async function copySource(file: { module: string; path: string }, cwd: string, dir: string) {
  await copyFile(join(await sourceOf(file.module, cwd), file.path), join(dir, basename(file.path)));
}

/** The folder with the sources of a module. */
const sourceOf = async (module: string, cwd: string) =>
  (await run('go', ['list', '-m', '-f', '{{.Dir}}', module], { cwd })).trim();

/** The folder with the sources and samples of the Istio that the box runs. */
export const istioSource = () => sourceOf('istio.io/istio', modulePath(istioOf(istioVersion).name));

/** The test application, built from `box/app`. */
export async function ensureApp(progress: Progress): Promise<string> {
  const cwd = join(boxDir, 'app');
  const goVersion = await run('go', ['env', 'GOVERSION', 'GOARCH']);
  const pins = [await hashOfTree(cwd), goVersion];
  const dir = await cached('meshapp', pins, progress, async (out) => {
    const args = ['build', '-trimpath', '-ldflags', '-s -w', '-o', join(out, 'meshapp'), '.'];
    await run('go', args, { cwd, env: { ...process.env, ...goEnvironment } });
  });
  return join(dir, 'meshapp');
}
