import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Binaries, binary } from '../artifacts/binaries.ts';
import { imageName } from '../artifacts/images.ts';
import { copyNodeImages, storage } from '../artifacts/node-images.ts';
import { stateDir } from '../paths.ts';
import { run, runResult } from '../run.ts';
import { createNodeCgroup, nodeCgroup } from './cgroups.ts';
import { type Daemon, startDaemon, waitReady } from './daemon.ts';
import { writeHybridRuntime } from './hybrid.ts';
import {
  clusterDnsAddress,
  clusterDomain,
  fabric,
  type NodePlan,
  podCidr,
} from './network-plan.ts';
import { pkiDir, writeKubeconfig } from './pki.ts';

/** A node of the cluster: a network, mount and host name namespace, held open by one process. */
export type MeshNode = { plan: NodePlan; dir: string; daemons: Daemon[]; enter: string[] };

/** The folder of the CNI plugins in Debian, then in other distributions. */
const cniBinDirs = ['/usr/lib/cni', '/opt/cni/bin'];

/**
 * Creates the namespaces of a node and its link to the fabric, and starts its containerd with the
 * images of the folder `images` (`nodeImages`).
 */
export async function startNode(
  plan: NodePlan,
  peers: NodePlan[],
  images: string,
): Promise<MeshNode> {
  const dir = join(stateDir, plan.name);
  for (const name of ['lib', 'log', 'cni']) await mkdir(join(dir, name), { recursive: true });
  await copyNodeImages(images, join(dir, 'lib'));
  const args = ['--mount', '--net', '--uts', '--propagation=private', 'sleep', 'infinity'];
  const holder = startDaemon(plan.name, 'unshare', args);
  const enter = ['-t', String(holder.pid), '--mount', '--net', '--uts', '--'];
  const node: MeshNode = { plan, dir, daemons: [holder], enter };
  await waitReady(`namespaces of ${plan.name}`, () => hasOwnNamespaces(holder.pid), [holder], 10);
  await run('bash', ['-euc', wireScript(plan, holder.pid)]);
  await inNode(node, ['bash', '-euc', setupScript(plan, peers, dir)]);
  await writeFile(join(dir, 'cni', '10-pods.conflist'), JSON.stringify(cniConfig(plan)));
  const runtime = await writeHybridRuntime(dir);
  await writeFile(join(dir, 'containerd.toml'), containerdConfig(join(dir, 'cni'), runtime));
  await writeFile(join(dir, 'resolv.conf'), '');
  const containerd = daemonInNode(node, 'containerd', 'containerd', [
    `--config=${join(dir, 'containerd.toml')}`,
  ]);
  const ready = async () => (await runResult('nsenter', [...enter, 'ctr', 'version'])).code === 0;
  await waitReady(`containerd of ${plan.name}`, ready, [containerd]);
  return node;
}

async function hasOwnNamespaces(pid: number): Promise<boolean> {
  const { stdout } = await runResult('readlink', [`/proc/${pid}/ns/uts`, '/proc/self/ns/uts']);
  const [theirs, ours] = stdout.trim().split('\n');
  return theirs !== undefined && ours !== undefined && theirs !== ours;
}

/** Runs a command inside a node's namespaces. */
export function inNode(node: MeshNode, command: string[]): Promise<string> {
  return run('nsenter', [...node.enter, ...command]);
}

function daemonInNode(node: MeshNode, name: string, command: string, args: string[]): Daemon {
  const daemon = startDaemon(`${node.plan.name}-${name}`, 'nsenter', [
    ...node.enter,
    command,
    ...args,
  ]);
  node.daemons.push(daemon);
  return daemon;
}

function wireScript(plan: NodePlan, pid: number): string {
  return `
    ip link add ${plan.name} type veth peer name eth0 netns ${pid}
    ip link set ${plan.name} master ${fabric.bridge} up
    ip route add ${plan.podCidr} via ${plan.address}`;
}

/**
 * A node has its own /run, /var/lib and /var/log, so that containerd and kubelet use the paths that
 * they use on any machine, and nothing of theirs is left on this one.
 */
function setupScript(plan: NodePlan, peers: NodePlan[], dir: string): string {
  const routes = peers.map((peer) => `ip route add ${peer.podCidr} via ${peer.address}`);
  return `
    mount --make-rshared /
    mount -t tmpfs tmpfs /run
    mkdir -p /run/netns
    mount --bind ${join(dir, 'lib')} /var/lib
    mount --bind ${join(dir, 'log')} /var/log
    hostname ${plan.name}
    ip link set lo up
    ip address add ${plan.address}/${fabric.prefixLength} dev eth0
    ip link set eth0 up
    ip route add default via ${fabric.address}
    ${routes.join('\n')}
    echo 1 > /proc/sys/net/ipv4/ip_forward
    # Without it, a Service's answer between two pods of one bridge would skip the address translation.
    if [ -e /proc/sys/net/bridge ]; then echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables; fi`;
}

function cniConfig(plan: NodePlan): object {
  const bridge = {
    type: 'bridge',
    bridge: 'pods',
    isGateway: true,
    ipMasq: false,
    hairpinMode: true,
    ipam: {
      type: 'host-local',
      ranges: [[{ subnet: plan.podCidr }]],
      routes: [{ dst: '0.0.0.0/0' }],
    },
  };
  const portmap = { type: 'portmap', capabilities: { portMappings: true } };
  return { cniVersion: '0.4.0', name: 'pods', plugins: [bridge, portmap] };
}

function containerdConfig(cniDir: string, runtime = 'runc'): string {
  const binDir = cniBinDirs.find((dir) => existsSync(dir)) ?? cniBinDirs[0];
  return `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
${storage}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${imageName('pause')}"
  # A host without CAP_SYS_RESOURCE cannot lower a container's OOM score; runc would fail.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "${runtime}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${binDir}"
    conf_dir = "${cniDir}"
`;
}

/** kubelet and kube-proxy. Needs a running API server. */
export async function startKubelet(node: MeshNode, binaries: Binaries): Promise<void> {
  const { plan, dir } = node;
  await createNodeCgroup(plan.name);
  const config = join(dir, 'kubelet.json');
  await writeFile(config, JSON.stringify(kubeletConfig(plan, dir)));
  daemonInNode(node, 'kubelet', binary(binaries, 'kubelet'), [
    `--kubeconfig=${await writeKubeconfig(`kubelet-${plan.name}`)}`,
    `--config=${config}`,
    `--hostname-override=${plan.name}`,
    `--node-ip=${plan.address}`,
  ]);
  daemonInNode(node, 'kube-proxy', binary(binaries, 'kube-proxy'), [
    `--kubeconfig=${join(pkiDir, 'kube-proxy.kubeconfig')}`,
    `--hostname-override=${plan.name}`,
    '--proxy-mode=iptables',
    `--cluster-cidr=${podCidr}`,
    // The size of the table can be set only in the host's namespace.
    '--conntrack-max-per-core=0',
  ]);
}

function kubeletConfig(plan: NodePlan, dir: string): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    // The box supports both cgroup versions, because developers' machines have either.
    failCgroupV1: false,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: nodeCgroup(plan.name),
    containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: join(pkiDir, 'ca.crt') },
    },
    authorization: { mode: 'Webhook' },
    clusterDNS: [clusterDnsAddress],
    clusterDomain,
    resolvConf: join(dir, 'resolv.conf'),
    maxPods: 200,
    failSwapOn: false,
    // A full disk of the host must not evict pods.
    evictionHard: { 'nodefs.available': '0%', 'imagefs.available': '0%', 'memory.available': '0%' },
    imageGCHighThresholdPercent: 100,
    localStorageCapacityIsolation: false,
    // With the default of 5 a second, twenty pods start slowly.
    kubeAPIQPS: 100,
    kubeAPIBurst: 200,
    registryPullQPS: 0,
    // Killed containers restart at once; the default delay grows from 10 seconds to 5 minutes.
    crashLoopBackOff: { maxContainerRestartPeriod: '1s' },
  };
}
