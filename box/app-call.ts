import type { Mesh, PodRef } from './mesh.ts';

/** What the test application saw of an HTTP request (its own pod, the caller's identity, ...). */
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

/** What `meshapp call` prints: one call, made from inside a pod. */
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
  const command = ['meshapp', 'call', ...flags, url];
  const { stdout, stderr } = await mesh.exec({ container: 'app', ...from }, command);
  try {
    return JSON.parse(stdout) as CallResult;
  } catch {
    throw new Error(`${command.join(' ')} in ${from.name} printed no result: ${stdout}${stderr}`);
  }
}
