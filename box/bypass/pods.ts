import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { run } from '../run.ts';

/** The network namespace of a pod; it exists as long as a process in it. */
export type Pod = {
  /** The process whose network namespace it is. */
  pid: number;
  address: string;
  iptables(...rule: string[]): Promise<void>;
  remove(): Promise<void>;
};

export const addresses = ['10.77.0.1', '10.77.0.2'] as const;

/** Two pods on one link, each with an address of its own. */
export async function createPods(): Promise<[Pod, Pod]> {
  const [a, b] = [await holdNamespace(), await holdNamespace()];
  const link = ['link', 'add', 'eth0', 'netns', `${a.pid}`, 'type', 'veth', 'peer', 'name', 'eth0'];
  await run('ip', [...link, 'netns', `${b.pid}`]);
  return [await pod(a, addresses[0]), await pod(b, addresses[1])];
}

async function holdNamespace(): Promise<ChildProcessWithoutNullStreams> {
  const child = spawn('unshare', ['--net', 'sh', '-c', 'ip link set lo up && echo up && cat']);
  await once(child.stdout, 'data');
  return child;
}

/**
 * A network namespace whose loopback loses this share of the segments, except of those that begin a
 * connection: the senders repeat data.
 */
export async function createLossy(share: number): Promise<Pick<Pod, 'pid' | 'remove'>> {
  const child = await holdNamespace();
  const segments = ['-p', 'tcp', '!', '--syn'];
  const some = ['-m', 'statistic', '--mode', 'random', '--probability', `${share}`];
  await inside(child, 'iptables', '-A', 'INPUT', ...segments, ...some, '-j', 'DROP');
  return { pid: child.pid ?? 0, remove: () => ended(child) };
}

async function inside(
  { pid }: ChildProcessWithoutNullStreams,
  ...command: string[]
): Promise<void> {
  await run('nsenter', [`--net=/proc/${pid}/ns/net`, ...command]);
}

async function ended(child: ChildProcessWithoutNullStreams): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'close');
}

async function pod(child: ChildProcessWithoutNullStreams, address: string): Promise<Pod> {
  await inside(child, 'ip', 'address', 'add', `${address}/24`, 'dev', 'eth0');
  await inside(child, 'ip', 'link', 'set', 'eth0', 'up');
  return {
    pid: child.pid ?? 0,
    address,
    iptables: (...rule) => inside(child, 'iptables', '-t', 'nat', '-A', ...rule),
    remove: () => ended(child),
  };
}
