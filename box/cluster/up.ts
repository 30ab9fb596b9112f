import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { ensureEnvoy } from '../../embedded/envoy-binary.ts';
import { ensureApp, ensureBinaries } from '../artifacts/binaries.ts';
import type { Progress } from '../artifacts/build-cache.ts';
import { meshImages, ociLayout } from '../artifacts/images.ts';
import { nodeImages } from '../artifacts/node-images.ts';
import { boxDir, prefix, repoDir, stateDir } from '../paths.ts';
import { missingPrerequisites } from '../prerequisites.ts';
import type { BoxMessage, BoxOptions } from './box.ts';
import { nodesMax } from './network-plan.ts';

export type UpOptions = {
  nodes: number;
  owned: boolean;
  progress: Progress;
  /** Docker archives to have on every node from the start. */
  archives?: string[];
  /** Seconds without a heartbeat after which Kubernetes calls a node lost; 120 by default. */
  nodeGraceSeconds?: number | undefined;
};

/**
 * Not Kubernetes' 50 s, because tests end the API server and etcd again and again, and on a busy
 * machine heartbeats come late. After each end the controller manager may also wait up to a minute
 * before it reads them again (client-go, tools/cache/reflector.go: 30 s with a jitter of 1). With
 * 50 s it would call living nodes lost and take the endpoints of their pods away: every client then
 * gets 503, with the whole configuration, too.
 */
const patientSeconds = 120;

/** Exit status of keeper.sh if the lock is taken. */
const exitLocked = 75;

/** Everything that `up` needs, built or taken from the cache. */
export async function prepareMesh(
  archives: string[],
  progress: Progress,
): Promise<Pick<BoxOptions, 'binaries' | 'app' | 'images'>> {
  const missing = missingPrerequisites();
  if (missing.length > 0) throw new Error(`the mesh cannot run here:\n- ${missing.join('\n- ')}`);
  const binaries = await ensureBinaries(progress);
  const app = await ensureApp(progress);
  const images = await meshImages(binaries, app, await ensureEnvoy(), progress);
  const layout = await ociLayout(images, progress);
  return { binaries, app, images: await nodeImages(layout, archives, progress) };
}

/**
 * Brings the box up and returns when Istio serves. `stop` ends an owned box and waits until nothing
 * of it is left; a box that is not owned outlives this process.
 */
export async function up(options: UpOptions): Promise<{ stop(): Promise<void> }> {
  if (!Number.isInteger(options.nodes) || options.nodes < 1 || options.nodes > nodesMax)
    throw new Error(`--nodes ${options.nodes}: give a whole number from 1 to ${nodesMax}`);
  const { nodes, owned, archives = [], nodeGraceSeconds = patientSeconds } = options;
  const prepared = await prepareMesh(archives, options.progress);
  const box: BoxOptions = {
    ...prepared,
    state: stateDir,
    ...{ nodes, owned, archives, nodeGraceSeconds },
  };
  const keeper = spawn(
    join(boxDir, 'cluster', 'keeper.sh'),
    [
      stateDir,
      prefix,
      process.execPath,
      '--import',
      'tsx',
      join(boxDir, 'cluster', 'box.ts'),
      JSON.stringify(box),
    ],
    // A separate session: Ctrl-C reaches only us, and the box ends when our pipe closes.
    { cwd: repoDir, detached: true, stdio: ['pipe', 'ignore', 'ignore', 'ignore', 'pipe'] },
  );
  const exited = new Promise<number>((resolve) => keeper.on('exit', (code) => resolve(code ?? 1)));
  await untilReady(keeper, exited, options.progress);
  if (!options.owned) {
    keeper.stdin?.destroy();
    keeper.stdio[4]?.destroy();
    keeper.unref();
  }
  const stop = async () => {
    keeper.stdin?.end();
    await exited;
  };
  return { stop };
}

async function untilReady(
  keeper: ChildProcess,
  exited: Promise<number>,
  progress: Progress,
): Promise<void> {
  let failure = '';
  const ready = new Promise<void>((resolve) => {
    const lines = createInterface({ input: keeper.stdio[4] as Readable });
    lines.on('line', (line) => {
      const message = JSON.parse(line) as BoxMessage;
      if ('step' in message) progress(message.step);
      else if ('error' in message) failure = message.error;
      else resolve();
    });
  });
  const code = await Promise.race([ready, exited]);
  if (code === undefined) return;
  if (code === exitLocked)
    throw new Error('a mesh is up already: end it with `npm run -s mesh -- down`, or use it');
  const where = `all logs: ${stateDir}.failed`;
  throw new Error(`the mesh did not come up: ${failure || `exit code ${code}`}\n${where}`);
}
