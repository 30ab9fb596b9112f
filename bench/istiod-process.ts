import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { request } from 'undici';
import type { ApiServer } from '../box/api/api-server.ts';
import { freePort } from '../box/api/free-port.ts';
import { binary, ensureBinaries } from '../box/artifacts/binaries.ts';
import { lastLines } from '../box/run.ts';

/** A real istiod beside a real API server, as a process of this machine. */
export type Istiod = {
  pid: number;
  /** Where proxies connect, in plain text. */
  xdsAddress: string;
  /** The sum over the samples of a metric; 0 where the metric does not exist yet. */
  metric(name: string): Promise<number>;
  /** All metrics, in the text format of Prometheus. */
  metrics(): Promise<string>;
  stop(): Promise<void>;
};

const readyMs = 120_000;
/**
 * istiod ends the stream of a proxy that does not answer a ping for 10 s. Here istiod and all
 * proxies share one machine.
 */
const keepaliveSeconds = 120;

/**
 * Starts istiod without certificates: neither the CA, nor injection, nor validation is measured,
 * and each would need a cluster around it.
 */
export async function startIstiod(
  api: ApiServer,
  say: (line: string) => void,
  environment: Record<string, string> = {},
  meshConfig = 'rootNamespace: istio-system\n',
): Promise<Istiod> {
  const binaries = await ensureBinaries(say);
  const folder = await mkdtemp(join(tmpdir(), 'lazyscope-istiod-'));
  const file = (name: string) => join(folder, name);
  const [http, xds, monitoring] = [await freePort(), await freePort(), await freePort()];
  await writeFile(file('kubeconfig'), JSON.stringify(await kubeconfigOf(api)));
  await writeFile(file('mesh.yaml'), meshConfig);
  const log = openSync(file('log'), 'a');
  const child = spawn(
    binary(binaries, 'pilot-discovery'),
    [
      'discovery',
      ...[`--kubeconfig=${file('kubeconfig')}`, `--meshConfig=${file('mesh.yaml')}`],
      ...[`--httpAddr=127.0.0.1:${http}`, '--httpsAddr=', '--secureGRPCAddr='],
      ...[`--grpcAddr=127.0.0.1:${xds}`, `--monitoringAddr=127.0.0.1:${monitoring}`],
      ...['--ctrlz_port=0', '--namespace=istio-system'],
      `--keepaliveTimeout=${keepaliveSeconds}s`,
    ],
    {
      cwd: folder,
      stdio: ['ignore', log, log],
      env: {
        ...process.env,
        ...{ POD_NAME: 'istiod-0', POD_NAMESPACE: 'istio-system' },
        ...{ PILOT_CERT_PROVIDER: 'none', ENABLE_CA_SERVER: 'false' },
        ...{ INJECTION_WEBHOOK_CONFIG_NAME: '', VALIDATION_WEBHOOK_CONFIG_NAME: '' },
        ...environment,
      },
    },
  );
  const stop = async () => {
    await end(child);
    await rm(folder, { recursive: true });
  };
  try {
    await untilReady(child, http, file('log'));
  } catch (error) {
    await stop();
    throw error;
  }
  const metrics = () => get(`http://127.0.0.1:${monitoring}/metrics`);
  return {
    pid: child.pid ?? 0,
    xdsAddress: `127.0.0.1:${xds}`,
    ...{ metrics, metric: async (name) => sumOf(await metrics(), name) },
    stop,
  };
}

async function kubeconfigOf({ environment, account }: ApiServer): Promise<object> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = environment;
  const name = 'bench';
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name,
        cluster: {
          server: `https://${host}:${port}`,
          'certificate-authority': join(account, 'ca.crt'),
        },
      },
    ],
    users: [{ name, user: { token: (await readFile(join(account, 'token'), 'utf8')).trim() } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    'current-context': name,
  };
}

async function untilReady(child: ChildProcess, port: number, log: string): Promise<void> {
  const deadline = Date.now() + readyMs;
  while (!(await isReady(port))) {
    if (Date.now() > deadline || child.exitCode !== null)
      throw new Error(`istiod is not ready:\n${lastLines(await readFile(log, 'utf8'), 15)}`);
    await sleep(200);
  }
}

async function isReady(port: number): Promise<boolean> {
  try {
    const { statusCode, body } = await request(`http://127.0.0.1:${port}/ready`);
    await body.dump();
    return statusCode === 200;
  } catch {
    return false;
  }
}

async function get(url: string): Promise<string> {
  const { body } = await request(url);
  return body.text();
}

function sumOf(text: string, name: string): number {
  const isSample = new RegExp(`^${name}[{ ]`);
  return text
    .split('\n')
    .filter((line) => isSample.test(line))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}
