import type { Duplex, Readable } from 'node:stream';
import { json, text } from 'node:stream/consumers';
import type { KubeConfig } from '@kubernetes/client-node';
import type { ApiServer } from '../../companion/kube/credentials.ts';
import { KubeError, type KubeObject, type Resource } from '../../companion/kube/object.ts';
import { collectionPath } from '../../companion/kube/path.ts';
import { createSend } from '../../companion/kube/request.ts';
import { type Asked, CommandError, requestFailure } from './failure.ts';
import { connectTo, execIn, logPath, type PodTarget } from './pod-streams.ts';

/**
 * The only access to a cluster, with the rights of the user. The official client reads kubeconfigs
 * and runs login plugins; requests are those of the companion.
 */
export type Cluster = {
  /** The namespace of the context. */
  namespace: string;
  /** Every object, in pages; throws a CommandError that names a missing right. */
  list(resource: Resource): Promise<KubeObject[]>;
  /** Undefined if there is no such object. */
  get(resource: Resource, name: string, namespace?: string): Promise<KubeObject | undefined>;
  /** JSON merge patch; with `dryRun` the API server checks everything and changes nothing. */
  patch(resource: Resource, target: Target, body: object, dryRun: boolean): Promise<KubeObject>;
  /** What a pod or Service answers to a GET, fetched by the API server. */
  fetchFrom(server: HttpServer, path: string): Promise<string>;
  /** Standard output of a command in a container; throws if the command fails. */
  exec(pod: PodTarget & { container: string }, command: string[]): Promise<string>;
  /**
   * The log of a container from now on, or from so many seconds ago, until the container ends or
   * `until` aborts, which ends the stream with an error.
   */
  followLog(
    pod: PodTarget & { container: string },
    until: AbortSignal,
    sinceSeconds?: number,
  ): Promise<Readable>;
  /** A connection to a port of a pod, by the API server, as `kubectl port-forward` makes it. */
  connectTo(pod: PodTarget, port: number): Promise<Duplex>;
  /** A new token of a service account, for at most so many seconds; nothing is stored. */
  createToken(account: PodTarget, seconds: number): Promise<string>;
  /** The user's own bearer token; undefined: the user logs in by a certificate or a password. */
  ownToken(): Promise<string | undefined>;
  close(): void;
};

/**
 * An HTTP server of the cluster; `port` may be the name of a Service's port. That of a node is its
 * kubelet.
 */
export type HttpServer =
  | { kind: 'pods' | 'services'; namespace: string; name: string; port: string | number }
  | { kind: 'nodes'; name: string };

export type Target = { name: string; namespace?: string | undefined };

/** How the user names the cluster. */
export type Access = { kubeconfig?: string | undefined; context?: string | undefined };

/** As kubectl: large enough for few requests, small enough for the memory of the API server. */
const pageSize = 500;
/** A page of 500 pods takes seconds on a loaded API server. */
const requestMs = 60_000;

export async function connectCluster(access: Access): Promise<Cluster> {
  const { server, namespace, config } = await readAccess(access);
  const { send, close } = createSend(server);

  async function ask<Body>(
    asked: Omit<Asked, 'server'>,
    ...[method, path, options]: Parameters<typeof send>
  ): Promise<Body> {
    return (await answer(asked, json, method, path, options)) as Body;
  }

  async function answer<Body>(
    asked: Omit<Asked, 'server'>,
    read: (response: Awaited<ReturnType<typeof send>>) => Promise<Body>,
    ...[method, path, options]: Parameters<typeof send>
  ): Promise<Body> {
    try {
      return await read(await send(method, path, { timeoutMs: requestMs, ...options }));
    } catch (error) {
      throw failureOf(error, { ...asked, server: server.url });
    }
  }

  return {
    namespace,
    async list(resource) {
      type Page = { kind: string; apiVersion: string; items: KubeObject[]; metadata: Continued };
      type Continued = { continue?: string };
      const asked = {
        verb: 'list' as const,
        resource: nameOf(resource),
        namespace: resource.namespace,
      };
      const found: KubeObject[] = [];
      let next: string | undefined;
      do {
        const query = new URLSearchParams({ limit: String(pageSize) });
        if (next) query.set('continue', next);
        for (const key of ['fieldSelector', 'labelSelector'] as const)
          if (resource[key]) query.set(key, resource[key]);
        const page = await ask<Page>(asked, 'GET', `${collectionPath(resource)}?${query}`, {});
        const { kind, apiVersion, items, metadata } = page;
        // Objects in a list do not repeat their kind.
        const shared = { apiVersion, kind: kind.replace(/List$/, '') };
        for (const item of items ?? []) found.push({ ...shared, ...item });
        next = metadata.continue;
      } while (next);
      return found;
    },
    async get(resource, name, inNamespace) {
      const asked = { verb: 'get' as const, resource: nameOf(resource), name };
      const path = collectionPath(resource, inNamespace, name);
      try {
        return await ask<KubeObject>({ ...asked, namespace: inNamespace }, 'GET', path, {});
      } catch (error) {
        const { cause } = error as { cause?: unknown };
        if (cause instanceof KubeError && cause.status === 404) return undefined;
        throw error;
      }
    },
    patch(resource, target, body, dryRun) {
      const { name, namespace: inNamespace } = target;
      const query = new URLSearchParams({ fieldManager: 'lazyscope-command' });
      if (dryRun) query.set('dryRun', 'All');
      return ask<KubeObject>(
        { verb: 'patch', resource: nameOf(resource), name, namespace: inNamespace },
        'PATCH',
        `${collectionPath(resource, inNamespace, name)}?${query}`,
        { body, contentType: 'application/merge-patch+json' },
      );
    },
    fetchFrom(served, path) {
      const { kind, name } = served;
      const resource = { group: '', version: 'v1', plural: kind };
      const asked = { verb: 'get' as const, resource: `${kind}/proxy`, name };
      const inNamespace = served.kind === 'nodes' ? undefined : served.namespace;
      const target = served.kind === 'nodes' ? name : `${name}:${served.port}`;
      const proxy = `${collectionPath(resource, inNamespace, target)}/proxy${path}`;
      return answer({ ...asked, namespace: inNamespace }, text, 'GET', proxy, {});
    },
    exec: (pod, command) => execIn(config, pod, command),
    async followLog(pod, until, sinceSeconds) {
      // On a connection of its own: those of requests are few.
      const own = createSend(server);
      const asked = { verb: 'get', resource: 'pods/log', name: pod.name } as const;
      const options = { signal: until, timeoutMs: silenceMs, accept: '*/*' };
      try {
        const log = await own.send('GET', logPath(pod, sinceSeconds), options);
        return log.on('close', own.close);
      } catch (error) {
        own.close();
        throw failureOf(error, { ...asked, namespace: pod.namespace, server: server.url });
      }
    },
    connectTo: (pod, port) => connectTo(config, pod, port),
    async createToken({ namespace: inNamespace, name }, seconds) {
      const resource = { group: '', version: 'v1', plural: 'serviceaccounts' };
      const asked = { verb: 'create' as const, resource: 'serviceaccounts/token', name };
      const path = `${collectionPath(resource, inNamespace, name)}/token`;
      const body = {
        ...{ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest' },
        spec: { expirationSeconds: seconds },
      };
      type Review = { status: { token: string } };
      const review = await ask<Review>({ ...asked, namespace: inNamespace }, 'POST', path, {
        body,
      });
      return review.status.token;
    },
    async ownToken() {
      const { headers } = await server.credentials();
      return /^Bearer (\S+)$/.exec(headers.Authorization ?? headers.authorization ?? '')?.[1];
    },
    close,
  };
}

/** A container that writes nothing for a day is not worth a connection. */
const silenceMs = 86_400_000;

/** A failure of a request in words; any other error as it is. */
function failureOf(error: unknown, asked: Asked): unknown {
  if (!(error instanceof KubeError)) return error;
  const text = error.message.slice(error.message.indexOf(': ') + 2);
  return Object.assign(requestFailure(asked, error.status, text), { cause: error });
}

function nameOf({ plural, group }: Resource): string {
  return group ? `${plural}.${group}` : plural;
}

async function readAccess({
  kubeconfig,
  context,
}: Access): Promise<{ server: ApiServer; namespace: string; config: KubeConfig }> {
  // It takes a second to load, which verbs without a cluster need not wait for.
  const client = await import('@kubernetes/client-node');
  const config = new client.KubeConfig();
  const source = kubeconfig ?? (process.env.KUBECONFIG || 'the default kubeconfig');
  try {
    if (kubeconfig) config.loadFromFile(kubeconfig);
    else config.loadFromDefault();
  } catch (error) {
    const remedy = 'give a kubeconfig file (--kubeconfig, or the variable KUBECONFIG)';
    throw new CommandError(`${source} cannot be read: ${(error as Error).message}`, remedy);
  }
  const names = config.getContexts().map(({ name }) => name);
  if (context !== undefined) {
    if (!names.includes(context)) {
      const remedy = `choose one of: ${names.join(', ') || 'none is there'}`;
      throw new CommandError(`--context ${context}: ${source} has no such context`, remedy);
    }
    config.setCurrentContext(context);
  }
  const cluster = config.getCurrentCluster();
  // The address that the client takes if it finds no kubeconfig at all.
  if (!cluster?.server || cluster.server === 'http://localhost:8080') {
    const remedy = 'give one by --kubeconfig or KUBECONFIG, and a context by --context';
    throw new CommandError(`no cluster: ${source} has no current context`, remedy);
  }
  if (cluster.proxyUrl) {
    const remedy =
      'reach the API server without it, for example by `kubectl proxy` and a context for it';
    throw new CommandError(
      `proxy-url ${cluster.proxyUrl} of cluster ${cluster.name}: not supported`,
      remedy,
    );
  }
  return {
    server: { url: cluster.server.replace(/\/$/, ''), credentials: () => credentialsOf(config) },
    config,
    namespace: config.getContextObject(config.getCurrentContext())?.namespace ?? 'default',
  };
}

async function credentialsOf(config: KubeConfig) {
  const read: Parameters<KubeConfig['applyToHTTPSOptions']>[0] = { headers: {} };
  await config.applyToHTTPSOptions(read);
  const { headers = {}, ca, cert, key, rejectUnauthorized, servername } = read;
  const tls = { ca, cert, key, rejectUnauthorized, servername };
  const given = Object.entries(tls).filter(([, value]) => value !== undefined);
  return { headers: headers as Record<string, string>, tls: Object.fromEntries(given) };
}
