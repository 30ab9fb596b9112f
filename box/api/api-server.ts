import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { parseAllDocuments } from 'yaml';
import { startReaper } from '../../embedded/reaper.ts';
import { type Binaries, binary, ensureBinaries } from '../artifacts/binaries.ts';
import { ensureMcsApi, ensureNfd } from '../artifacts/definitions.ts';
import { repoDir } from '../paths.ts';
import { lastLines, run } from '../run.ts';
import { freePort } from './free-port.ts';

/** A real API server over a real etcd on the loopback address: no nodes, no controllers. */
export type ApiServer = {
  /** What a pod gets from the kubelet: variables, and a folder with `token` and `ca.crt`. */
  environment: Record<string, string>;
  account: string;
  /** Throws on a status of 400 or more. */
  call<Body>(method: string, path: string, body?: object): Promise<Body>;
  /** kubectl as the admin. */
  kubectl(args: string[], input?: string): Promise<string>;
  /** The namespace, accounts and permissions of the product. */
  applyBase(): Promise<void>;
  /** Restarts the server, which then knows no earlier resource versions. */
  restart(): Promise<void>;
  stop(): Promise<void>;
};

type Kubectl = ApiServer['kubectl'];

const token = 'bench';
const readyMs = 60_000;

/** The server ends with this process, also where a hook timed out and nobody is left to stop it. */
export async function startApiServer(say: (line: string) => void): Promise<ApiServer> {
  const binaries = await ensureBinaries(say);
  const reaper = await startReaper('api');
  const { folder } = reaper;
  const file = (name: string) => join(folder, name);
  await writeFile(file('tokens.csv'), `${token},admin,admin,"system:masters"\n`);
  await run('openssl', ['genrsa', '-out', file('sa.key'), '2048']);
  const [etcdPort, peerPort, port] = [await freePort(), await freePort(), await freePort()];
  const server = `https://127.0.0.1:${port}`;
  const agent = new Agent({ connections: 32, connect: { rejectUnauthorized: false } });
  const running: ChildProcess[] = [];
  const access = [
    `--server=${server}`,
    `--token=${token}`,
    `--certificate-authority=${file('ca.crt')}`,
  ];

  const kubectl: Kubectl = (args, input = '') =>
    run(binary(binaries, 'kubectl'), [...access, ...args], { input });

  function start(name: string, args: string[]): void {
    const log = openSync(file(`${name}.log`), 'a');
    const child = spawn(binary(binaries, name), args, { stdio: ['ignore', log, log] });
    if (child.pid !== undefined) reaper.add(child.pid);
    child.once('exit', () => reaper.forget(child.pid));
    running.push(child);
  }
  async function end(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }
  const startApi = async () => {
    start('kube-apiserver', apiServerArgs(file, etcdPort, port));
    const hasEnded = () => running.some(({ exitCode }) => exitCode !== null);
    if (await untilReady(() => isReady(server, agent), hasEnded)) return;
    const log = await readFile(file('kube-apiserver.log'), 'utf8');
    throw new Error(`the API server is not ready:\n${lastLines(log, 10)}`);
  };
  const stop = async () => {
    for (const child of running.splice(0).reverse()) await end(child);
    await agent.destroy();
    await reaper.finish();
  };
  try {
    start('etcd', etcdArgs(file('etcd'), etcdPort, peerPort));
    await startApi();
    await writeFile(file('token'), token);
    await copyFile(file('apiserver.crt'), file('ca.crt'));
    await applyDefinitions(binaries, kubectl);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    environment: { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: String(port) },
    account: folder,
    call: (method, path, body) => call(`${server}${path}`, agent, method, body),
    kubectl,
    applyBase: () => applyBase(kubectl),
    async restart() {
      const api = running.pop();
      if (api) await end(api);
      await startApi();
    },
    stop,
  };
}

/** False if it was not ready in time, or can no longer be. */
async function untilReady(ready: () => Promise<boolean>, hasEnded: () => boolean) {
  const deadline = Date.now() + readyMs;
  while (!(await ready())) {
    if (Date.now() > deadline || hasEnded()) return false;
    await sleep(100);
  }
  return true;
}

function etcdArgs(dataDir: string, port: number, peerPort: number): string[] {
  const [url, peer] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${peerPort}`];
  return [
    `--data-dir=${dataDir}`,
    ...[`--listen-client-urls=${url}`, `--advertise-client-urls=${url}`],
    ...[`--listen-peer-urls=${peer}`, `--initial-advertise-peer-urls=${peer}`],
    `--initial-cluster=default=${peer}`,
    '--unsafe-no-fsync',
    '--log-level=warn',
  ];
}

function apiServerArgs(file: (name: string) => string, etcdPort: number, port: number): string[] {
  return [
    `--etcd-servers=http://127.0.0.1:${etcdPort}`,
    '--service-cluster-ip-range=10.96.0.0/16',
    ...['--bind-address=127.0.0.1', `--secure-port=${port}`],
    // No pod uses the Service `kubernetes`, so it needs no endpoint.
    ...['--advertise-address=192.0.2.1', '--endpoint-reconciler-type=none'],
    `--cert-dir=${file('.')}`,
    `--token-auth-file=${file('tokens.csv')}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${file('sa.key')}`,
    `--service-account-signing-key-file=${file('sa.key')}`,
    // No controller creates the service accounts that pods would need.
    '--disable-admission-plugins=ServiceAccount',
    // Kubernetes 1.35 serves policies that change objects only on demand; 1.36 serves them as v1.
    '--feature-gates=MutatingAdmissionPolicy=true',
    '--runtime-config=admissionregistration.k8s.io/v1beta1=true',
    '--authorization-mode=RBAC',
  ];
}

async function isReady(server: string, dispatcher: Agent): Promise<boolean> {
  try {
    const { statusCode, body } = await request(`${server}/readyz`, { dispatcher });
    await body.dump();
    return statusCode === 200;
  } catch {
    return false;
  }
}

async function call<Body>(url: string, dispatcher: Agent, method: string, body?: object) {
  const { statusCode, body: answer } = await request(url, {
    method: method as 'GET',
    dispatcher,
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
    },
    ...(body && { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  if (statusCode < 400) return JSON.parse(text) as Body;
  throw new Error(`${method} ${url}: ${statusCode} ${text.slice(0, 300)}`);
}

/** The kinds of the Gateway API, of other APIs that the product may meet, of Istio and its own. */
async function applyDefinitions(binaries: Binaries, kubectl: Kubectl): Promise<void> {
  const istio = await run(binary(binaries, 'istioctl'), ['manifest', 'generate']);
  const product = await kubectl(['kustomize', join(repoDir, 'manifests', 'base')]);
  const gatewayApi = await readFile(binary(binaries, 'gateway-api.yaml'), 'utf8');
  const mcsApi = await readFile(await ensureMcsApi(() => undefined), 'utf8');
  const nfd = await readFile(await ensureNfd(() => undefined), 'utf8');
  const definitions = parseAllDocuments([gatewayApi, mcsApi, nfd, istio, product].join('\n---\n'))
    .map((document) => document.toJS() as { kind?: string } | null)
    .filter((object) => object?.kind === 'CustomResourceDefinition');
  const input = definitions.map((object) => JSON.stringify(object)).join('\n---\n');
  await kubectl(['apply', '--server-side', '-f', '-'], input);
  await kubectl(['wait', '--for=condition=Established', 'crd', '--all']);
}

async function applyBase(kubectl: Kubectl): Promise<void> {
  const kinds = /^(Namespace|ServiceAccount|(Cluster)?Role(Binding)?)$/;
  const base = parseAllDocuments(
    await kubectl(['kustomize', join(repoDir, 'manifests', 'base')]),
  ).map((document) => document.toJS() as { kind: string });
  const wanted = base.filter(({ kind }) => kinds.test(kind));
  const input = wanted.map((object) => JSON.stringify(object)).join('\n---\n');
  await kubectl(['apply', '--server-side', '-f', '-'], input);
}
