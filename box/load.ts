import type { Mesh, PodRef } from './mesh.ts';

/** Result of `meshapp load`. */
export type LoadResult = {
  sent: number;
  ok: number;
  failed: number;
  /** Requests that were due but not sent, because every connection stayed busy to the end. */
  unsent: number;
  /** Duration of the run, with the late requests after its end. */
  seconds: number;
  /** Completed requests a second. */
  rps: number;
  /** Connections that the peer had closed before a request was written. */
  reconnected: number;
  outcomes: { key: string; count: number; firstMs: number; lastMs: number }[];
  failures: { atMs: number; url: string; key: string; error?: string }[];
};

/** Flags of `meshapp load` other than the rate; a status other than 200 is a failure. */
type Flags = { rps: number; more?: string[] };

/** Sends requests at a fixed rate from inside a pod; resolves when the duration is over. */
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

/** A load that runs until it is stopped. */
export type RunningLoad = {
  /** Ends the load and gives its result; it may have ended by itself (`--each-once`). */
  stop(): Promise<LoadResult>;
  /** The time of the first request, by the clock of this machine. */
  startedAt: number;
};

type RunningPod = {
  spec: { nodeName: string };
  status: { containerStatuses: { name: string; containerID: string }[] };
};

let loads = 0;

/**
 * Starts a load that runs until it is stopped; resolves when the first request is sent. The
 * container runtime of the node starts it, because `kubectl exec` ends with the API server.
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
      // The first request is due at once, so a line of progress means that it was sent.
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
      // If the load has already ended, the signal fails, and the result shows the outcome.
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
