import { runInContainer } from './container-run.ts';
import type { Mesh, PodRef } from './mesh.ts';

/** An HTTP request as the test application saw it (its own pod, the caller's identity, ...). */
export type Seen = {
  name: string;
  pod: string;
  namespace: string;
  node: string;
  method: string;
  path: string;
  host: string;
  protocol: string;
  headers: Record<string, string[]>;
  peerIdentity: string;
  bodyBytes: number;
  bodySha256: string;
};

/** The output of `meshapp call`: one call from inside a pod. */
export type CallResult = {
  status: number;
  headers: Record<string, string[]>;
  body: Seen & Record<string, unknown>;
  protocol: string;
  milliseconds: number;
  error?: string;
};

/** Makes one call from the application container of a pod; a refused connection is a result too. */
export async function call(mesh: Mesh, from: PodRef, url: string, ...flags: string[]) {
  const command = ['/usr/local/bin/meshapp', 'call', ...flags, url];
  const { stdout, stderr } = await runInContainer(mesh, { container: 'app', ...from }, command);
  try {
    return JSON.parse(stdout) as CallResult;
  } catch {
    throw new Error(`${command.join(' ')} in ${from.name} printed no result: ${stdout}${stderr}`);
  }
}
