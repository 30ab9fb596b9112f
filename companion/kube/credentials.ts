import { readFile } from 'node:fs/promises';
import type { RequestOptions } from 'node:https';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';

/**
 * The credentials of a request. They are read for each request, because tokens and certificates
 * rotate; requests that begin together share a reading.
 */
export type Credentials = {
  headers: Record<string, string>;
  tls: Pick<RequestOptions, 'ca' | 'cert' | 'key' | 'rejectUnauthorized' | 'servername'>;
};

export type ApiServer = {
  /** Without a slash at the end. */
  url: string;
  credentials(): Promise<Credentials>;
};

/**
 * The API server as every pod finds it (Kubernetes documentation, "Accessing the Kubernetes API
 * from a Pod"): two variables and a folder that the kubelet keeps up to date.
 */
export function serviceAccount(
  folder: string,
  env: Record<string, string | undefined> = process.env,
): ApiServer {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = env;
  if (!host) {
    throw new Error(
      'KUBERNETES_SERVICE_HOST is not set, so this process is not in a pod; give --kubeconfig',
    );
  }
  let reading: Promise<Credentials> | undefined;
  async function read(): Promise<Credentials> {
    const [token, ca] = await Promise.all([
      readFile(join(folder, 'token'), 'utf8'),
      readFile(join(folder, 'ca.crt'), 'utf8'),
    ]);
    return { headers: { authorization: `Bearer ${token.trim()}` }, tls: { ca } };
  }
  return {
    url: `https://${isIPv6(host) ? `[${host}]` : host}:${port}`,
    credentials() {
      reading ??= read().finally(() => {
        reading = undefined;
      });
      return reading;
    },
  };
}

/**
 * The current cluster of a kubeconfig. The official client supports the many login methods of a
 * kubeconfig. It is loaded only here and is not part of the image, because a companion in a pod
 * does not need its 50 MB.
 */
export async function readKubeconfig(path: string): Promise<ApiServer> {
  const { KubeConfig } = await import('@kubernetes/client-node').catch((cause: unknown) => {
    const remedy = 'run it from a checkout, after npm ci';
    throw new Error(`--kubeconfig ${path}: the image cannot read it; ${remedy}`, { cause });
  });
  const config = new KubeConfig();
  config.loadFromFile(path);
  const url = config.getCurrentCluster()?.server.replace(/\/$/, '');
  if (!url) throw new Error(`${path}: no current cluster; set current-context to one that exists`);
  return {
    url,
    async credentials() {
      const read: RequestOptions & { headers: Record<string, string> } = { headers: {} };
      await config.applyToHTTPSOptions(read);
      const { headers, ca, cert, key, rejectUnauthorized, servername } = read;
      const tls = { ca, cert, key, rejectUnauthorized, servername };
      const given = Object.entries(tls).filter(([, value]) => value !== undefined);
      return { headers, tls: Object.fromEntries(given) };
    },
  };
}
