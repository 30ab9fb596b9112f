import { join } from 'node:path';
import { type Binaries, binary } from '../artifacts/binaries.ts';
import { stateDir } from '../paths.ts';
import { runResult } from '../run.ts';
import { type Daemon, startDaemon, waitReady } from './daemon.ts';
import { apiServer, etcdPort, serviceCidr } from './network-plan.ts';
import { pkiDir, writeKubeconfig } from './pki.ts';

const pki = (name: string) => join(pkiDir, name);

/** etcd and the API server; returns when the API answers and the admin kubeconfig is written. */
export async function startApiServer(binaries: Binaries): Promise<Daemon[]> {
  const url = `http://127.0.0.1:${etcdPort}`;
  const peer = `http://127.0.0.1:${etcdPort + 1}`;
  const etcd = startDaemon('etcd', binary(binaries, 'etcd'), [
    `--data-dir=${join(stateDir, 'etcd')}`,
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    // A crashed mesh is discarded, so nothing has to reach the disk.
    '--unsafe-no-fsync',
    '--log-level=warn',
  ]);
  const api = startDaemon('kube-apiserver', binary(binaries, 'kube-apiserver'), [
    `--etcd-servers=${url}`,
    `--service-cluster-ip-range=${serviceCidr}`,
    `--bind-address=${apiServer.address}`,
    `--advertise-address=${apiServer.address}`,
    `--secure-port=${apiServer.port}`,
    `--cert-dir=${pkiDir}`,
    `--token-auth-file=${pki('tokens.csv')}`,
    '--authorization-mode=Node,RBAC',
    // Kubernetes 1.35 serves policies that change objects only on demand; 1.36 serves them as v1.
    '--feature-gates=MutatingAdmissionPolicy=true',
    '--runtime-config=admissionregistration.k8s.io/v1beta1=true',
    '--kubelet-preferred-address-types=InternalIP',
    `--kubelet-client-certificate=${pki('kubelet-client.crt')}`,
    `--kubelet-client-key=${pki('kubelet-client.key')}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${pki('sa.pub')}`,
    `--service-account-signing-key-file=${pki('sa.key')}`,
    // istio-init sets iptables of the pod and needs NET_ADMIN; only tests use privileged pods.
    '--allow-privileged',
    '--profiling=false',
  ]);
  const daemons = [etcd, api];
  const readyz = `https://${apiServer.address}:${apiServer.port}/readyz`;
  await waitReady(
    'kube-apiserver',
    async () => {
      const result = await runResult('curl', ['-sk', '--max-time', '2', readyz]);
      return result.stdout === 'ok';
    },
    daemons,
  );
  for (const name of ['admin', 'kube-controller-manager', 'kube-scheduler', 'kube-proxy'])
    await writeKubeconfig(name);
  return daemons;
}

/**
 * Controller manager and scheduler; not awaited: callers wait for their effects. The controller
 * manager calls a node lost when it has seen no heartbeat for `nodeGraceSeconds`.
 */
export function startControllers(binaries: Binaries, nodeGraceSeconds: number): Daemon[] {
  const manager = startDaemon(
    'kube-controller-manager',
    binary(binaries, 'kube-controller-manager'),
    [
      `--kubeconfig=${pki('kube-controller-manager.kubeconfig')}`,
      '--use-service-account-credentials',
      `--service-account-private-key-file=${pki('sa.key')}`,
      // Pods verify the API server with its self-signed certificate.
      `--root-ca-file=${pki('apiserver.crt')}`,
      '--leader-elect=false',
      '--bind-address=127.0.0.1',
      `--node-monitor-grace-period=${nodeGraceSeconds}s`,
    ],
  );
  const scheduler = startDaemon('kube-scheduler', binary(binaries, 'kube-scheduler'), [
    `--kubeconfig=${pki('kube-scheduler.kubeconfig')}`,
    '--leader-elect=false',
    '--bind-address=127.0.0.1',
  ]);
  return [manager, scheduler];
}
