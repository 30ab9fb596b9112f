import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { proxyFigures, proxySummary } from '../embedded/proxy-figures.ts';
import { imageName, imageOfFiles, ociLayout, tarOfLayout } from './artifacts/images.ts';
import { type UpOptions, up } from './cluster/up.ts';
import { pathOf, readObject } from './cluster-objects.ts';
import { type MeshState, readState, statePath, writeState } from './mesh-state.ts';
import { boxDir, kubeconfigPath, lockPath, prefix, repoDir, stateDir } from './paths.ts';
import { hasSidecar, isReady, type PodObject, processOfPod } from './pods.ts';
import { unfinished } from './rollout.ts';
import { type RunOptions, type RunResult, run, runResult } from './run.ts';

/** A pod, and optionally one of its containers. */
export type PodRef = { namespace: string; name: string; container?: string };

/** A handle on a running mesh; see `meshHandle`. */
export type Mesh = ReturnType<typeof meshHandle>;

export type StartOptions = {
  nodes?: number;
  services?: number;
} & Pick<UpOptions, 'archives' | 'nodeGraceSeconds'>;

const say = (line: string) => console.error(`mesh: ${line}`);

/**
 * A mesh for a test run. With MESH=keep it uses the running mesh, or starts one and leaves it up;
 * otherwise the mesh belongs to this process and ends with it.
 */
export async function startMesh(
  options: StartOptions = {},
): Promise<Mesh & { stop(): Promise<void> }> {
  const keep = process.env.MESH === 'keep';
  let stop = async () => {};
  if (!(keep && (await isUp()))) {
    const { nodes = 2, archives = [], nodeGraceSeconds } = options;
    ({ stop } = await up({ nodes, owned: !keep, progress: say, archives, nodeGraceSeconds }));
  }
  const mesh = openMesh();
  if (options.services) await mesh.createServices(options.services);
  return { ...mesh, stop: keep ? async () => {} : stop };
}

/** Whether a mesh is up, starting or stopping: each of its processes holds its lock. */
async function isLocked(): Promise<boolean> {
  if (!existsSync(lockPath)) return false;
  return (await runResult('flock', ['--nonblock', lockPath, 'true'])).code !== 0;
}

export async function isUp(): Promise<boolean> {
  return existsSync(statePath) && (await isLocked());
}

/** Stops a running mesh and returns when nothing of it is left; returns what it did. */
export async function down(): Promise<'ended' | 'swept' | 'none'> {
  if (!(await isLocked())) return (await sweep()) ? 'swept' : 'none';
  const pid = Number(readFileSync(join(stateDir, 'keeper.pid'), 'utf8'));
  process.kill(pid, 'SIGTERM');
  await run('flock', ['--wait', '60', lockPath, 'true']);
  return 'ended';
}

/** Removes the remains of a mesh whose processes were all killed; fails while a mesh is up. */
export async function sweep(): Promise<boolean> {
  const left = existsSync(stateDir);
  await run(join(boxDir, 'cluster', 'keeper.sh'), [stateDir, prefix]);
  return left;
}

/** The running mesh; throws if no mesh is up. */
export function openMesh() {
  if (!existsSync(statePath))
    throw new Error('no mesh is up: start one with `npm run -s mesh -- up` (or `make mesh`)');
  const state = readState();
  const boxPid = readFileSync(join(stateDir, 'box.pid'), 'utf8').trim();
  return meshHandle(state, boxPid);
}

function meshHandle(state: MeshState, boxPid: string) {
  // Enters only the network namespace, so that `kubectl apply -f FILE` finds this machine's files.
  const enter = ['-t', boxPid, '--net', '--'];
  const tool = { kubectl: state.kubectl, istioctl: state.istioctl };
  const argv = (name: keyof typeof tool, args: string[]) => [
    ...enter,
    tool[name],
    `--kubeconfig=${kubeconfigPath}`,
    ...args,
  ];
  const kubectl = (args: string[], input = '') => run('nsenter', argv('kubectl', args), { input });
  // Tests poll these many times a second, so they start no kubectl.
  const get = async (args: string[]) => {
    const path = pathOf(args);
    // biome-ignore lint/suspicious/noExplicitAny: the caller knows the shape of the kind.
    if (path !== undefined) return (await readObject(path)) as any;
    return JSON.parse(await kubectl(['get', ...args, '-o', 'json']));
  };
  const onNode = (name: string, command: string[]) => {
    const node = state.nodes.find((candidate) => candidate.name === name);
    if (node === undefined) throw new Error(`no node ${name} in the mesh`);
    return [...inBox(boxPid).split(' '), 'nsenter', ...node.enter, ...command];
  };
  // By kubectl: `ctr task exec` drops output that it has not read when the command ends.
  const exec = (pod: PodRef, command: string[], input = ''): Promise<RunResult> =>
    runResult('nsenter', argv('kubectl', execArgs(pod, command)), { input });
  const execOk = async (pod: PodRef, command: string[]): Promise<string> => {
    const result = await exec(pod, command);
    if (result.code === 0) return result.stdout;
    throw new Error(`${pod.namespace}/${pod.name}: ${command.join(' ')}: ${result.stderr}`);
  };
  const admin = async ({ namespace, name }: PodRef, path: string, port = 15000) => {
    const pid = processOfPod(await get(['pod', name, '-n', namespace]));
    const curl = ['curl', '-sS', '--fail', '--max-time', '60', `http://127.0.0.1:${port}${path}`];
    return run('nsenter', ['-t', pid, '--net', '--', ...curl]);
  };
  return {
    state,
    /** A command line that runs kubectl or istioctl against this mesh. */
    argv: (name: keyof typeof tool, args: string[]) => ['nsenter', ...argv(name, args)],
    /** A command line that runs a command in the network of the box, with this machine's files. */
    inNetwork: (command: string[]) => ['nsenter', ...enter, ...command],
    kubectl,
    istioctl: (args: string[], input = '') => run('nsenter', argv('istioctl', args), { input }),
    /** `kubectl get ARGS -o json`, without a process for frequent queries. */
    get,
    /** Server-side apply of YAML or JSON text, or of objects. */
    apply: (objects: string | object[]) =>
      kubectl(
        ['apply', '--server-side', '--force-conflicts', '-f', '-'],
        typeof objects === 'string'
          ? objects
          : objects.map((o) => JSON.stringify(o)).join('\n---\n'),
      ),
    /** Runs a command in a container; without a name, in the default container. */
    exec,
    execOk,
    /** GET on the Envoy admin of a pod, or on another port of the pod. */
    admin,
    figures: (pod: PodRef) => proxyFigures((path) => admin(pod, path)),
    /**
     * The first ready pod of a workload, by label selector; waits for one that is not ready yet.
     */
    pod: (namespace: string, selector: string): Promise<PodRef> =>
      waitFor(`a ready pod in ${namespace} with ${selector}`, async () => {
        const { items } = (await get(['pods', '-n', namespace, '-l', selector])) as {
          items: PodObject[];
        };
        const ready = items.find(isReady);
        return ready && { namespace, name: ready.metadata.name };
      }),
    /** Each running sidecar with its figures; undefined if its Envoy does not answer. */
    sidecars: async () => {
      const { items } = (await get(['pods', '-A'])) as { items: PodObject[] };
      const refs = items.filter(hasSidecar).map(({ metadata }) => metadata);
      return Promise.all(
        refs.map(async ({ namespace, name }) => {
          const pod = { namespace, name };
          const figures = await proxySummary((path) => admin(pod, path)).catch(() => undefined);
          return { ...pod, figures };
        }),
      );
    },
    /** Waits until every Deployment, StatefulSet and DaemonSet of a namespace is rolled out. */
    rollout: (namespace: string, timeoutSeconds = 180) =>
      waitFor(
        `the rollout of ${namespace}`,
        async () => {
          const lacks = await unfinished(namespace);
          if (lacks.length > 0) throw new Error(lacks.join('; '));
          return true;
        },
        timeoutSeconds,
      ),
    /** Creates services without pods, with two HTTP ports each. */
    createServices: (count: number) =>
      run(
        'nsenter',
        [
          ...enter,
          process.execPath,
          ...['--import', 'tsx', join(boxDir, 'synthetic-services.ts'), String(count)],
        ],
        { cwd: repoDir },
      ),
    /** Builds an image of the base layer and files (in /usr/local/bin); loads it into each node. */
    loadImage: async (name: string, files: string[]) => {
      const image = await imageOfFiles(name.includes('/') ? name : imageName(name), files, say);
      const layout = await ociLayout([image], say);
      const source = tarOfLayout(layout);
      await Promise.all(state.nodes.map((node) => importImage(boxPid, node.enter, source)));
      return image.name;
    },
    /** Loads a docker or OCI archive into every node, unless it was the last one loaded. */
    loadArchive: async (file: string) => {
      const { archives, ...rest } = readState();
      if (archives.includes(file)) return;
      const source = `cat ${file}`;
      await Promise.all(state.nodes.map((node) => importImage(boxPid, node.enter, source)));
      // Archives may have the same tag, so the earlier ones count no more.
      writeState({ ...rest, archives: [file] });
    },
    /** Runs a command in a node's namespaces, as on its console. */
    onNode: (name: string, command: string[], options: RunOptions = {}) =>
      run('nsenter', onNode(name, command), options),
    waitFor,
  };
}

/**
 * nsenter arguments for the namespaces of the box, where the process ids of nodes are valid.
 */
function inBox(boxPid: string): string {
  return `-t ${boxPid} --mount --net --pid=/proc/${boxPid}/ns/pid_for_children --`;
}

async function importImage(boxPid: string, enterNode: string[], source: string): Promise<void> {
  const ctr = `nsenter ${inBox(boxPid)} nsenter ${enterNode.join(' ')} ctr -n k8s.io images import -`;
  await run('bash', ['-o', 'pipefail', '-c', `${source} | ${ctr}`]);
}

/**
 * Polls until `check` returns something other than undefined or false; a timeout reports its
 * last error. The timeout only bounds a hang: a wait ends as soon as its condition holds.
 */
export async function waitFor<T>(
  what: string,
  check: () => Promise<T | undefined | false>,
  timeoutSeconds = 180,
): Promise<T> {
  const deadline = Date.now() + timeoutSeconds * 1000;
  let reason = '';
  while (Date.now() < deadline) {
    try {
      const value = await check();
      if (value !== undefined && value !== false) return value;
      reason = '';
    } catch (error) {
      reason = `: ${(error as Error).message}`;
    }
    await sleep(200);
  }
  throw new Error(`waited ${timeoutSeconds} s for ${what}${reason}`);
}

function execArgs(pod: PodRef, command: string[]): string[] {
  const container = pod.container === undefined ? [] : ['-c', pod.container];
  return ['exec', '-i', '-n', pod.namespace, pod.name, ...container, '--', ...command];
}
