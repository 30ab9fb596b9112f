import type { Mesh, PodRef } from './mesh.ts';

/** Result of `meshapp load`. */
export type LoadResult = {
  sent: number;
  ok: number;
  failed: number;
  /** Requests that were due and not begun, because every connection stayed busy to the end. */
  unsent: number;
  /** Length of the run, with the catching up after its end. */
  seconds: number;
  /** Completed requests a second. */
  rps: number;
  /** Connections that the peer had closed before a request was written. */
  reconnected: number;
  outcomes: { key: string; count: number; firstMs: number; lastMs: number }[];
  failures: { atMs: number; url: string; key: string; error?: string }[];
};

/** Flags of `meshapp load` beside the rate; a status other than 200 counts as failed. */
type Flags = { rps: number; more?: string[] };

/** Sends at a fixed rate from inside a pod; resolves when the duration is over. */
export async function load(
  mesh: Mesh,
  from: PodRef,
  urls: string[],
  flags: Flags & { seconds: number },
): Promise<LoadResult> {
  const rate = ['--rps', String(flags.rps), '--duration', `${flags.seconds}s`];
  const command = ['meshapp', 'load', ...rate, ...(flags.more ?? []), ...urls];
  const { stdout, stderr } = await mesh.exec({ container: 'app', ...from }, command);
  try {
    return JSON.parse(stdout) as LoadResult;
  } catch {
    throw new Error(`meshapp load in ${from.name} printed no result: ${stdout}${stderr}`);
  }
}

/** A load that goes on until it is stopped. */
export type RunningLoad = {
  /** Ends the load and gives its result; it may have ended by itself (`--each-once`). */
  stop(): Promise<LoadResult>;
  /** Of the first request, by the clock of this machine. */
  startedAt: number;
};

type RunningPod = {
  spec: { nodeName: string };
  status: { containerStatuses: { name: string; containerID: string }[] };
};

let loads = 0;

/**
 * Starts a load that runs until it is stopped, and resolves when its first request is under way. It
 * is started by the container runtime of the node: a load by `kubectl exec` ends with the API
 * server.
 */
export async function startLoad(
  mesh: Mesh,
  from: PodRef,
  urls: string[],
  { rps, more = [] }: Flags,
): Promise<RunningLoad> {
  const pod = (await mesh.get(['pod', from.name, '-n', from.namespace])) as RunningPod;
  const { nodeName } = pod.spec;
  const app = pod.status.containerStatuses.find(({ name }) => name === 'app');
  const container = app?.containerID.replace('containerd://', '') ?? '';
  loads += 1;
  const task = ['ctr', '-n', 'k8s.io', 'task'];
  const id = ['--exec-id', `load-${process.pid}-${loads}`];
  const flags = ['--rps', String(rps), '--progress', '100ms', ...more];
  const command = ['/usr/local/bin/meshapp', 'load', ...flags, ...urls];
  let hasEnded = false;
  let begin = () => {};
  const begun = new Promise<void>((resolve) => (begin = resolve));
  const running = mesh
    .onNode(nodeName, [...task, 'exec', ...id, container, ...command], {
      // A line of progress says that at least one request was sent, as the first is due at once.
      onStderr: (text) => text.includes('"sent":') && begin(),
    })
    .then((printed) => JSON.parse(printed) as LoadResult)
    .finally(() => {
      hasEnded = true;
      begin();
    });
  running.catch(() => {});
  await begun;
  if (hasEnded) await running;
  return {
    startedAt: Date.now(),
    async stop() {
      // One that has ended meanwhile cannot be signalled; its result says how it went.
      if (!hasEnded) {
        const kill = [...task, 'kill', ...id, '--signal', 'SIGTERM', container];
        await mesh.onNode(nodeName, kill).catch((error) => {
          if (!hasEnded) throw error;
        });
      }
      return running;
    },
  };
}
