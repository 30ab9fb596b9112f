import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensureEnvoy } from '../../embedded/envoy-binary.ts';
import { run, runResult } from '../run.ts';
import { spawnIn } from './cgroup.ts';
import { type Certificates, type Service, sidecarConfig, sidecarMark } from './envoy-config.ts';
import { createPods, type Pod } from './pods.ts';

export const services = {
  http: { port: 80, local: 8080, kind: 'http' },
  http2: { port: 81, local: 8081, kind: 'http2' },
  tcp: { port: 9000, local: 9001, kind: 'tcp' },
  banner: { port: 9100, local: 9101, kind: 'tcp' },
} as const satisfies Record<string, Service>;

/** Two pods with sidecars; calls of the first pod to a service pass through both sidecars. */
export type Sidecars = {
  client: Pod;
  server: Pod;
  /** Starts a program of a pod, in the cgroup of its sockets. It is killed at the end. */
  start(pod: Pod, command: string[]): ChildProcessWithoutNullStreams;
  /** Kills the Envoy of a pod and starts it again. */
  restartEnvoy(pod: Pod): Promise<void>;
  envoyPid(pod: Pod): number;
  stop(): Promise<void>;
};

export async function startSidecars(cgroup: string): Promise<Sidecars> {
  const folder = await mkdtemp(join(tmpdir(), 'lazyscope-sidecars-'));
  const pods = await createPods();
  const [client, server] = pods;
  const config = join(folder, 'envoy.json');
  const certificates = await createCertificates(folder);
  await writeFile(config, JSON.stringify(sidecarConfig(Object.values(services), certificates)));
  await redirect(client, server);
  let said = '';
  const children = new Set<ChildProcessWithoutNullStreams>();
  const envoys = new Map<Pod, ChildProcessWithoutNullStreams>();
  const start = (pod: Pod, command: string[]) => {
    const child = spawnIn(cgroup, command, pod.pid);
    child.stdout.resume();
    child.stderr.on('data', (chunk) => {
      said = (said + chunk).slice(-saidMax);
    });
    children.add(child);
    child.once('close', () => children.delete(child));
    return child;
  };
  const end = async (child: ChildProcessWithoutNullStreams) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const closed = once(child, 'close');
    child.kill('SIGKILL');
    await closed;
  };
  const startEnvoy = async (pod: Pod) => {
    const options = ['--config-path', config, '--concurrency', '2', '--log-level', 'error'];
    envoys.set(pod, start(pod, [await ensureEnvoy(), ...options, '--disable-hot-restart']));
    if (!(await isReady(pod))) throw new Error(`a sidecar is not ready: ${said}`);
  };
  const stop = async () => {
    for (const child of children) await end(child);
    for (const pod of pods) await pod.remove();
    await rm(folder, { recursive: true });
  };
  try {
    for (const pod of pods) await startEnvoy(pod);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    client,
    server,
    start,
    envoyPid: (pod) => envoys.get(pod)?.pid ?? 0,
    async restartEnvoy(pod) {
      const running = envoys.get(pod);
      if (running) await end(running);
      await startEnvoy(pod);
    },
    stop,
  };
}

/**
 * Minimal rules of Istio's redirection: outbound calls of the client's application, and all inbound
 * connections.
 */
async function redirect(client: Pod, server: Pod): Promise<void> {
  const ports = Object.values(services).map(({ port }) => port);
  const match = ['-p', 'tcp', '-m', 'multiport', '--dports', ports.join(',')];
  // Istio recognizes the sidecar's connections by their user; here they have a mark.
  const own = ['-m', 'mark', '!', '--mark', String(sidecarMark)];
  await client.iptables('OUTPUT', ...match, ...own, '-j', 'REDIRECT', '--to-ports', '15001');
  await server.iptables('PREROUTING', ...match, '-j', 'REDIRECT', '--to-ports', '15006');
}

async function createCertificates(folder: string): Promise<Certificates> {
  const at = (name: string) => join(folder, name);
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
  const plain = [...request, '-nodes', '-days', '2'];
  await run('openssl', [
    ...plain,
    '-subj',
    '/CN=ca',
    '-keyout',
    at('ca.key'),
    '-out',
    at('ca.pem'),
  ]);
  const signed = ['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-subj', '/CN=workload'];
  const files = ['-keyout', at('key.pem'), '-out', at('cert.pem')];
  await run('openssl', [...plain, ...signed, ...files]);
  return { ca: at('ca.pem'), certificate: at('cert.pem'), key: at('key.pem') };
}

const readyMs = 20_000;
/** The last log lines of the programs in the pods. */
const saidMax = 2000;

async function isReady(pod: Pod): Promise<boolean> {
  const deadline = Date.now() + readyMs;
  const probe = [`--net=/proc/${pod.pid}/ns/net`, 'curl', '-sf', 'http://127.0.0.1:15000/ready'];
  while (Date.now() < deadline) {
    if ((await runResult('nsenter', probe)).code === 0) return true;
    await sleep(50);
  }
  return false;
}
