import type { Mesh } from './mesh.ts';
import { identityOfProcess, processOfPod } from './pods.ts';
import { type RunResult, runResult } from './run.ts';

/**
 * Runs a program of a container in its namespaces and as its user. `kubectl exec` does the same at
 * many times the cost, because its bytes pass the API server, the kubelet, containerd and runc.
 */
export async function runInContainer(
  mesh: Mesh,
  { namespace, name, container }: { namespace: string; name: string; container: string },
  command: string[],
): Promise<RunResult> {
  const pid = processOfPod(await mesh.get(['pod', name, '-n', namespace]), container);
  const { uid, gid } = identityOfProcess(pid);
  const namespaces = ['--mount', '--net', '--uts', '--ipc'];
  const user = ['--setuid', uid, '--setgid', gid];
  return runResult('nsenter', ['-t', pid, ...namespaces, ...user, '--', ...command]);
}
