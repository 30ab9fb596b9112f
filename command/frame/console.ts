import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { type Duplex, pipeline } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { conditionIn } from '../../companion/core/scope/condition.ts';
import type { KubeObject } from '../../companion/kube/object.ts';
import { controllerDeployment } from '../mesh/read.ts';
import type { Cluster } from './cluster.ts';
import { CommandError } from './failure.ts';

/**
 * The page of a controller on an address of this machine: each connection goes by a port-forward to
 * the controller's TLS, whose certificate is checked here, so a browser has none to warn of.
 */
export type ConsoleAccess = { url: string; token: string; pod: string; close(): void };

/** In the certificate of the controllers (`controllerServerName` in companion/contract/rpc.ts). */
const serverName = 'lazyscope-controller';
const consolePort = 9474;
const { namespace } = controllerDeployment;
const viewer = { namespace, name: 'lazyscope-viewer' };
/** The longest look at a page; a token that leaks is worthless afterwards. */
const tokenSeconds = 3_600;

/** `port` 0: the system chooses one. `warn` learns of connections that fail. */
export async function openConsole(
  cluster: Cluster,
  { port = 0, warn }: { port?: number; warn(text: string): void },
): Promise<ConsoleAccess> {
  let pod = await controllerPod(cluster);
  /** The controller may have been replaced, as in an upgrade: the page stays open meanwhile. */
  let isLost = false;
  const [ca, token] = [await authorityOf(cluster), await tokenFor(cluster)];
  const open = new Set<Socket>();
  async function reach(): Promise<Duplex> {
    const connect = () => cluster.connectTo({ namespace, name: pod }, consolePort);
    if (!isLost) {
      try {
        return await connect();
      } catch {
        // The pod is gone: another one may be there.
      }
    }
    pod = await controllerPod(cluster);
    isLost = false;
    return connect();
  }
  async function serve(socket: Socket): Promise<void> {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    const stream = await reach();
    const secure = connectTls({ socket: stream, ca, servername: serverName });
    const end = (error: NodeJS.ErrnoException | null) => {
      socket.destroy();
      stream.destroy();
      if (!error || isEnd.has(error.code ?? '')) return;
      isLost = true;
      warn(`pod ${pod}: ${error.message}\n`);
    };
    pipeline(socket, secure, socket, end);
    stream.on('error', end);
  }
  const server = createServer((socket) => {
    serve(socket).catch((error: Error) => {
      warn(`${error.message}\n`);
      socket.destroy();
    });
  });
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  } catch (error) {
    const remedy = 'choose another one by --port, or let the system choose: --port 0';
    throw new CommandError(`--port ${port}: ${(error as Error).message}`, remedy);
  }
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    token,
    get pod() {
      return pod;
    },
    close() {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}

/** Codes of streams that one side has ended, as every connection ends. */
const isEnd: ReadonlySet<string> = new Set(['ERR_STREAM_PREMATURE_CLOSE', 'ABORT_ERR']);

/** A controller that is ready; any of them has the whole history. */
async function controllerPod({ list }: Cluster): Promise<string> {
  const pods = await list({
    ...{ group: '', version: 'v1', plural: 'pods', namespace },
    labelSelector: `app.kubernetes.io/name=${controllerDeployment.name}`,
  });
  const isReady = ({ status, metadata }: KubeObject) =>
    !metadata.deletionTimestamp && conditionIn(status, 'Ready')?.status === 'True';
  const found = pods.find(isReady);
  if (found) return found.metadata.name;
  throw new CommandError(
    `no controller is ready in namespace ${namespace}: ${pods.length} of its pods are there`,
    `install Lazyscope, as manifests/README.md says, or look why: kubectl get pods -n ${namespace}`,
  );
}

async function authorityOf({ get }: Cluster): Promise<string> {
  const name = 'lazyscope-ca';
  const object = await get({ group: '', version: 'v1', plural: 'configmaps' }, name, namespace);
  const ca = object?.data?.['ca.crt'] as string | undefined;
  if (ca) return ca;
  throw new CommandError(
    `ConfigMap ${namespace}/${name} has no ca.crt, so no controller can be trusted`,
    `look into the log of the controllers: kubectl logs -n ${namespace} deployment/${controllerDeployment.name}`,
  );
}

/** A short token of the account that only looks; else the user's own token. */
async function tokenFor({ createToken, ownToken }: Cluster): Promise<string> {
  try {
    return await createToken(viewer, tokenSeconds);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const token = await ownToken();
    if (token !== undefined) return token;
    throw error;
  }
}

/** A port-forward to a loaded controller takes seconds; an answer milliseconds. */
const answerMs = 20_000;

/** The JSON of a path of the API; throws with the controller's own reason. */
export async function askConsole<Answer>(
  { url, token, pod }: ConsoleAccess,
  path: string,
): Promise<Answer> {
  const what = `controller ${pod}: ${path}`;
  let response: Response;
  try {
    const headers = { authorization: `Bearer ${token}` };
    response = await fetch(`${url}${path}`, { headers, signal: AbortSignal.timeout(answerMs) });
  } catch (error) {
    const { message, cause } = error as Error & { cause?: Error };
    const remedy = `check that the pod runs and that you may forward ports to it: kubectl auth can-i create pods/portforward -n ${namespace}`;
    throw new CommandError(`${what}: no answer: ${cause?.message ?? message}`, remedy);
  }
  const answer = (await response.json()) as Answer & { error?: string };
  if (response.ok) return answer;
  const remedy =
    response.status === 401 || response.status === 403
      ? `ask for the right to list workloadscopes.lazyscope.io, or to create tokens: kubectl auth can-i create serviceaccounts/token -n ${namespace}`
      : 'wait some seconds and run it again';
  throw new CommandError(`${what}: ${response.status}: ${answer.error ?? ''}`, remedy);
}
