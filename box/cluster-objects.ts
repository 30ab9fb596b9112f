import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { apiSocketPath, kubeconfigPath } from './paths.ts';

/** Paths of the kinds that are read often; kubectl reads all others. */
const folders: Record<string, string[]> = {
  'api/v1': ['pod', 'node', 'service', 'namespace', 'configmap', 'event', 'secret'],
  'apis/apps/v1': ['deployment', 'daemonset', 'statefulset'],
  'apis/coordination.k8s.io/v1': ['lease'],
  'apis/networking.istio.io/v1': ['sidecar'],
  'apis/lazyscope.io/v1alpha1': ['workloadscope'],
};
const clusterWide = ['node', 'namespace'];

function folderOf(kind: string): string | undefined {
  return Object.keys(folders).find((folder) => folders[folder]?.includes(kind));
}

/**
 * The path of the API server for `kubectl get ARGS`; undefined if only kubectl can tell.
 */
export function pathOf(args: readonly string[]): string | undefined {
  const [what = '', ...rest] = args;
  const words: string[] = [];
  let [namespace, selector, everywhere] = ['', '', false];
  for (let i = 0; i < rest.length; i++) {
    const word = rest[i] ?? '';
    if (word === '-n') namespace = rest[++i] ?? '';
    else if (word === '-l') selector = rest[++i] ?? '';
    else if (word === '-A') everywhere = true;
    else if (word.startsWith('-')) return undefined;
    else words.push(word);
  }
  const [plural = '', slashName] = what.split('/');
  const kind = plural.replace(/s$/, '');
  const folder = folderOf(kind);
  const name = slashName ?? words.shift();
  if (folder === undefined || words.length > 0 || (name !== undefined && selector))
    return undefined;
  const isNamespaced = !clusterWide.includes(kind);
  if (isNamespaced && namespace === '' && !everywhere) return undefined;
  const within = isNamespaced && namespace !== '' ? `/namespaces/${namespace}` : '';
  const query = selector ? `?labelSelector=${encodeURIComponent(selector)}` : '';
  return `/${folder}${within}/${kind}s${name === undefined ? '' : `/${name}`}${query}`;
}

/** Longer than a whole list takes on a busy machine. */
const timeoutMs = 30_000;

type Access = { agent: Agent; token: string };
let access: { kubeconfig: string; value: Access } | undefined;

/** Read again when the mesh has been replaced. */
function currentAccess(): Access {
  const kubeconfig = readFileSync(kubeconfigPath, 'utf8');
  if (access?.kubeconfig === kubeconfig) return access.value;
  access?.value.agent.destroy();
  const { clusters, users } = JSON.parse(kubeconfig);
  const ca = Buffer.from(clusters[0].cluster['certificate-authority-data'], 'base64');
  // The server's own certificate is pinned, so its names need no check.
  const checkServerIdentity = () => undefined;
  const agent = new Agent({ keepAlive: true, ca, checkServerIdentity });
  access = { kubeconfig, value: { agent, token: users[0].user.token } };
  return access.value;
}

/**
 * GET of a path of the API server, through the socket of the running mesh. If a kept connection was
 * closed, as by a restart of the API server, the request is sent once more.
 */
export async function readObject(path: string): Promise<unknown> {
  const { status, body } = await get(path).catch((error: Error & { reused?: boolean }) => {
    if (error.reused) return get(path);
    throw error;
  });
  if (status === 200) return withKinds(JSON.parse(body));
  throw new Error(`GET ${path}: ${status} ${body.slice(0, 300)}`);
}

function get(path: string): Promise<{ status: number; body: string }> {
  const { agent, token } = currentAccess();
  const headers = { authorization: `Bearer ${token}`, accept: 'application/json' };
  return new Promise((resolve, reject) => {
    const options = { socketPath: apiSocketPath, path, agent, headers, timeout: timeoutMs };
    const call = request(options, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('error', reject);
      response.on('end', () => {
        const body = Buffer.concat(parts).toString();
        resolve({ status: response.statusCode ?? 0, body });
      });
    });
    call.on('timeout', () => call.destroy(new Error(`GET ${path}: no answer in ${timeoutMs} ms`)));
    call.on('error', (error: NodeJS.ErrnoException) => {
      const reused = call.reusedSocket && error.code === 'ECONNRESET';
      reject(Object.assign(error, { reused }));
    });
    call.end();
  });
}

type List = { kind: string; apiVersion: string; items?: object[] };

/** A list names the kind of its items once; kubectl adds it to each item. */
function withKinds(object: List): List {
  const { kind, apiVersion, items } = object;
  if (items === undefined) return object;
  const each = { apiVersion, kind: kind.replace(/List$/, '') };
  return { ...object, items: items.map((item) => ({ ...each, ...item })) };
}
