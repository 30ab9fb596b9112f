import { writeSync } from 'node:fs';
import { type Binaries, binary } from '../artifacts/binaries.ts';
import { type MeshState, writeState } from '../mesh-state.ts';
import { run } from '../run.ts';
import { openApiSocket } from './api-socket.ts';
import { startApiServer, startControllers } from './control-plane.ts';
import { type Daemon, keepRunning, startDaemon } from './daemon.ts';
import { installCoreDns, installIstio, waitForInstalls } from './installs.ts';
import { fabric, outside, planNode, serviceCidr } from './network-plan.ts';
import { type MeshNode, startKubelet, startNode } from './node.ts';
import { createPki } from './pki.ts';

/** The arguments of the box on its command line, as JSON. */
export type BoxOptions = {
  /** The folder of the mesh, so that the command line identifies the mesh. */
  state: string;
  nodes: number;
  binaries: Binaries;
  app: string;
  /** The folder with the images of the nodes (`nodeImages`). */
  images: string;
  /** The docker archives whose images are among them. */
  archives: string[];
  /** Seconds without a heartbeat after which Kubernetes calls a node lost. */
  nodeGraceSeconds: number;
  /** An owned box ends with its owner (a test run); another one stays up until `down`. */
  owned: boolean;
};

/** The messages of the box on file descriptor 4, one JSON object per line. */
export type BoxMessage = { step: string } | { ready: true } | { error: string };

const statusFd = 4;

function sendMessage(message: BoxMessage): void {
  try {
    writeSync(statusFd, `${JSON.stringify(message)}\n`);
  } catch {
    // The owner has gone, so the box stays up by itself.
  }
}

const options = JSON.parse(process.argv[2] ?? '') as BoxOptions;
let ready = false;

// The owner holds the other end of stdin, so stdin closes even if the owner is killed.
process.stdin.resume();
process.stdin.on('close', () => {
  if (!ready || options.owned) process.exit(0);
});

async function main(): Promise<void> {
  await run('mount', ['--make-rshared', '/']);
  await run('bash', ['-euc', fabricScript()]);
  const plans = Array.from({ length: options.nodes }, (_, i) => planNode(i + 1));
  await createPki(plans.map((plan) => plan.name));

  sendMessage({ step: 'starting the API server and the nodes' });
  const started = plans.map((plan) =>
    startNode(
      plan,
      plans.filter((other) => other !== plan),
      options.images,
    ),
  );
  // Awaited below; an earlier rejection must not end the process before it is reported.
  for (const node of started) node.catch(() => {});
  const daemons = await startApiServer(options.binaries);
  await openApiSocket();
  daemons.push(...startControllers(options.binaries, options.nodeGraceSeconds));
  sendMessage({ step: 'installing CoreDNS and Istio' });
  const installs = Promise.all([installCoreDns(options.binaries), installIstio(options.binaries)]);
  installs.catch(() => {});
  const nodes: MeshNode[] = await Promise.all(started);
  for (const node of nodes) await startKubelet(node, options.binaries);
  startOutside();
  await installs;
  sendMessage({ step: 'waiting for istiod' });
  await waitForInstalls(options.binaries, nodes.length);
  for (const daemon of [...daemons, ...nodes.flatMap((node) => node.daemons)]) watch(daemon);
  writeState(describe(nodes));
  ready = true;
  sendMessage({ ready: true });
}

/**
 * Tests kill these daemons, so they restart. If any other daemon ends, the box ends too, because
 * half a cluster would mislead.
 */
const restarted = /^(etcd|kube-apiserver|node-\d+-(kubelet|kube-proxy|containerd))$/;

function watch(daemon: Daemon): void {
  if (restarted.test(daemon.name)) keepRunning(daemon);
  else daemon.failed.catch((error: Error) => fail(error));
}

function fabricScript(): string {
  const first = planNode(1);
  return `
    ip link set lo up
    ip link add ${fabric.bridge} type bridge
    ip address add ${fabric.address}/${fabric.prefixLength} dev ${fabric.bridge}
    ip address add ${outside.address}/32 dev ${fabric.bridge}
    ip link set ${fabric.bridge} up
    # The API server reaches webhooks by their ClusterIP; the first node translates it.
    ip route add ${serviceCidr} via ${first.address} onlink dev ${fabric.bridge}
    echo 1 > /proc/sys/net/ipv4/ip_forward`;
}

/** A plain server outside the mesh, for external calls. */
function startOutside(): void {
  const listens = ['--http', '80,8080', '--tls', '443', '--tcp-echo', '7000'];
  const serverFirst = ['--tcp-server-first', '3306'];
  startDaemon('outside', options.app, [
    ...['serve', '--name', 'outside', ...listens, ...serverFirst],
  ]);
}

function describe(nodes: MeshNode[]): MeshState {
  return {
    started: new Date().toISOString(),
    kubectl: binary(options.binaries, 'kubectl'),
    istioctl: binary(options.binaries, 'istioctl'),
    archives: options.archives,
    nodes: nodes.map((node) => ({ name: node.plan.name, enter: node.enter })),
  };
}

function fail(error: Error): never {
  sendMessage({ error: error.message });
  process.exit(1);
}

main().catch(fail);
