import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { binary, ensureBinaries } from './artifacts/binaries.ts';
import { clusterDomain, fabric } from './cluster/network-plan.ts';
import type { Mesh } from './mesh.ts';
import { run } from './run.ts';

/**
 * A second cluster of the mesh, as istiod sees it: an API server without nodes, on the fabric of
 * the box. Its pods are objects with the addresses of pods of the first cluster.
 */
export type RemoteCluster = {
  apply(objects: object[]): Promise<void>;
  applyText(objects: string): Promise<void>;
  /** A pod that answers at the address of another one, and the slice that makes it an endpoint. */
  endpoint(options: {
    namespace: string;
    service: string;
    account: string;
    ip: string;
    ports: Port[];
  }): Promise<void>;
  stop(): Promise<void>;
};

type Port = { name: string; port: number };

const port = 7443;
const etcd = { client: 7379, peer: 7380 };
const token = 'remote';
const secret = { name: 'istio-remote-secret-remote', namespace: 'istio-system' };

/** Starts the cluster, and makes istiod know it by `istioctl create-remote-secret`. */
export async function startRemoteCluster(mesh: Mesh): Promise<RemoteCluster> {
  const folder = await mkdtemp(join(tmpdir(), 'lazyscope-remote-'));
  const file = (name: string) => join(folder, name);
  const [, ...enter] = mesh.argv('kubectl', []).slice(0, 5);
  const binaries = await ensureBinaries(() => undefined);
  const running: ChildProcess[] = [];
  const start = (name: string, args: string[]) => {
    const log = openSync(file(`${name}.log`), 'a');
    const command = ['nsenter', ...enter, binary(binaries, name), ...args];
    running.push(spawn(command[0] ?? '', command.slice(1), { stdio: ['ignore', log, log] }));
  };
  const server = `https://${fabric.address}:${port}`;
  const kubectl = (args: string[], input = '') =>
    run(
      'nsenter',
      [...enter, mesh.state.kubectl, `--server=${server}`, `--token=${token}`]
        .concat('--insecure-skip-tls-verify', '--kubeconfig=/dev/null')
        .concat(args),
      { input },
    );
  await writeFile(file('tokens.csv'), `${token},remote,remote,"system:masters"\n`);
  await run('openssl', ['genrsa', '-out', file('sa.key'), '2048']);
  start('etcd', etcdArgs(file('etcd')));
  start('kube-apiserver', apiServerArgs(file));
  await mesh.waitFor('the API server of the remote cluster', async () => {
    return (await kubectl(['get', '--raw', '/readyz'])) === 'ok';
  });
  const ca = (await readFile(file('apiserver.crt'))).toString('base64');
  await writeFile(file('kubeconfig'), JSON.stringify(kubeconfig(server, ca)));
  start('kube-controller-manager', tokenControllerArgs(file));
  const istioctl = [mesh.state.istioctl, `--kubeconfig=${file('kubeconfig')}`];
  const create = ['create-remote-secret', '--name', 'remote'];
  await mesh.apply(await run('nsenter', [...enter, ...istioctl, ...create]));
  const applyText = async (text: string) => {
    await kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], text);
  };
  const applyObjects = (objects: object[]) =>
    applyText(objects.map((each) => JSON.stringify(each)).join('\n---\n'));
  return {
    apply: applyObjects,
    applyText,
    async endpoint({ namespace, service, account, ip, ports }) {
      const name = `${service}-remote`;
      const labels = { app: service, 'security.istio.io/tlsMode': 'istio' };
      const pod = { name, namespace };
      const spec = {
        nodeName: 'remote-1',
        serviceAccountName: account,
        containers: [{ name: 'app', image: 'none' }],
      };
      await applyObjects([{ apiVersion: 'v1', kind: 'Pod', metadata: { ...pod, labels }, spec }]);
      const ready = { type: 'Ready', status: 'True' };
      const status = { phase: 'Running', podIP: ip, podIPs: [{ ip }], conditions: [ready] };
      const patch = ['--subresource=status', '--type=merge', '-p', JSON.stringify({ status })];
      await kubectl(['patch', 'pod', name, '-n', namespace, ...patch]);
      await applyObjects([
        {
          apiVersion: 'discovery.k8s.io/v1',
          kind: 'EndpointSlice',
          metadata: { ...pod, labels: { 'kubernetes.io/service-name': service } },
          addressType: 'IPv4',
          ports: ports.map((each) => ({ ...each, protocol: 'TCP' })),
          endpoints: [
            { addresses: [ip], conditions: { ready: true }, targetRef: { kind: 'Pod', ...pod } },
          ],
        },
      ]);
    },
    async stop() {
      const args = ['secret', secret.name, '-n', secret.namespace, '--ignore-not-found'];
      await mesh.kubectl(['delete', ...args]);
      for (const child of running.reverse()) {
        const exited = once(child, 'exit');
        if (child.exitCode === null && child.kill('SIGKILL')) await exited;
      }
      await rm(folder, { recursive: true });
    },
  };
}

function etcdArgs(dataDir: string): string[] {
  const [url, peer] = [`http://127.0.0.1:${etcd.client}`, `http://127.0.0.1:${etcd.peer}`];
  return [
    `--data-dir=${dataDir}`,
    ...[`--listen-client-urls=${url}`, `--advertise-client-urls=${url}`],
    ...[`--listen-peer-urls=${peer}`, `--initial-advertise-peer-urls=${peer}`],
    ...[`--initial-cluster=default=${peer}`, '--unsafe-no-fsync', '--log-level=warn'],
  ];
}

function apiServerArgs(file: (name: string) => string): string[] {
  return [
    `--etcd-servers=http://127.0.0.1:${etcd.client}`,
    '--service-cluster-ip-range=10.97.0.0/16',
    ...[`--bind-address=${fabric.address}`, `--secure-port=${port}`],
    ...[`--advertise-address=${fabric.address}`, '--endpoint-reconciler-type=none'],
    `--cert-dir=${file('.')}`,
    `--token-auth-file=${file('tokens.csv')}`,
    `--service-account-issuer=https://kubernetes.default.svc.${clusterDomain}`,
    `--service-account-key-file=${file('sa.key')}`,
    `--service-account-signing-key-file=${file('sa.key')}`,
    // No controller creates the service accounts that pods would need.
    ...['--disable-admission-plugins=ServiceAccount', '--authorization-mode=RBAC'],
  ];
}

/** Only the controller that gives a service account the token that istioctl asks for. */
function tokenControllerArgs(file: (name: string) => string): string[] {
  return [
    `--kubeconfig=${file('kubeconfig')}`,
    '--controllers=serviceaccount-token-controller',
    `--service-account-private-key-file=${file('sa.key')}`,
    `--root-ca-file=${file('apiserver.crt')}`,
    ...['--leader-elect=false', '--secure-port=0'],
  ];
}

function kubeconfig(server: string, ca: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'remote', cluster: { server, 'certificate-authority-data': ca } }],
    users: [{ name: 'remote', user: { token } }],
    contexts: [{ name: 'remote', context: { cluster: 'remote', user: 'remote' } }],
    'current-context': 'remote',
  };
}
