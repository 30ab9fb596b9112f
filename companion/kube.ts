import type { RequestOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import { Agent, type Dispatcher, request } from 'undici';
import { collectionPath, objectPath } from './kube-path.ts';
import { startWatch } from './kube-watch.ts';

/**
 * The only door to the API server. The official client is used for what it does well, reading
 * kubeconfigs and credentials; requests go through undici, because the generated API defaults to
 * strategic merge patches and its informer does not restart after an error.
 */

export type OwnerReference = {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
};

export type KubeObject = {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    uid?: string;
    resourceVersion?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    creationTimestamp?: string;
    generation?: number;
    ownerReferences?: OwnerReference[];
    deletionTimestamp?: string;
  };
  // biome-ignore lint/suspicious/noExplicitAny: spec, status and data differ by kind.
  [field: string]: any;
};

/** A collection; without `namespace` the one of the whole cluster. */
export type Resource = {
  group: string;
  version: string;
  plural: string;
  namespace?: string;
  fieldSelector?: string;
  labelSelector?: string;
};

export type WatchHandler = {
  upsert(object: KubeObject): void;
  /** After a gap only apiVersion, kind, name, namespace and uid of the lost object are known. */
  remove(object: KubeObject): void;
  /** After every (re)list, when everything that was not in it has been removed. */
  synced?(): void;
};

export type Watch = { synced: Promise<void>; stop(): void };

export type TokenReview = {
  authenticated: boolean;
  username?: string | undefined;
  extra?: Record<string, string[]> | undefined;
  error?: string | undefined;
};

export type ApplyOptions = {
  fieldManager: string;
  force?: boolean;
  subresource?: 'status';
  timeoutMs?: number;
};

export type Preconditions = { uid?: string; resourceVersion?: string };

export type Kube = {
  /** List and watch for as long as the process lives; repairs itself after every kind of gap. */
  watch(resource: Resource, handler: WatchHandler): Watch;
  /** Server-side apply. */
  apply(object: KubeObject, options: ApplyOptions): Promise<KubeObject>;
  create(object: KubeObject): Promise<KubeObject>;
  /** Update guarded by `metadata.resourceVersion`: 409 when somebody else was faster. */
  replace(object: KubeObject): Promise<KubeObject>;
  /** Undefined when there is no such object. */
  get(resource: Resource, name: string, namespace?: string): Promise<KubeObject | undefined>;
  /** Deleting what is gone already is success. */
  delete(
    resource: Resource,
    name: string,
    namespace?: string,
    options?: { preconditions?: Preconditions },
  ): Promise<void>;
  tokenReview(token: string, audiences: string[]): Promise<TokenReview>;
  /** Closes connections; watches must have been stopped. */
  close(): Promise<void>;
};

/** What the API server answered when it was not a success, or 0 when it did not answer. */
export class KubeError extends Error {
  readonly status: number;
  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'KubeError';
    this.status = status;
  }
}

export function isKubeError(error: unknown, status: number): boolean {
  return error instanceof KubeError && error.status === status;
}

/** A request that is not a watch and takes longer than this will not succeed in time to matter. */
const defaultTimeoutMs = 10_000;
/** A dozen watches hold one connection each; the rest is for writes, which are rate limited. */
const connectionsMax = 64;

export type Send = (
  method: Dispatcher.HttpMethod,
  path: string,
  options: { body?: unknown; contentType?: string; timeoutMs?: number; signal?: AbortSignal },
) => Promise<Dispatcher.ResponseData>;

/** Connects with a kubeconfig, or with the pod's own service account where there is none. */
export function connectKube(options: { log: Logger; kubeconfigPath?: string }): Kube {
  const { send, close } = connect(options.kubeconfigPath);

  async function json(...args: Parameters<Send>): Promise<KubeObject> {
    const response = await send(...args);
    return (await response.body.json()) as KubeObject;
  }

  return {
    watch: (resource, handler) =>
      startWatch({ path: collectionPath(resource), resource, handler, send, log: options.log }),
    apply: (object, apply) => {
      const query = new URLSearchParams({ fieldManager: apply.fieldManager });
      if (apply.force) query.set('force', 'true');
      const subresource = apply.subresource ? `/${apply.subresource}` : '';
      return json('PATCH', `${objectPath(object)}${subresource}?${query}`, {
        body: object,
        contentType: 'application/apply-patch+yaml',
        timeoutMs: apply.timeoutMs ?? defaultTimeoutMs,
      });
    },
    create: (object) => json('POST', objectPath(object, 'collection'), { body: object }),
    replace: (object) => json('PUT', objectPath(object), { body: object }),
    get: async (resource, name, namespace) => {
      try {
        return await json('GET', collectionPath(resource, namespace, name), {});
      } catch (error) {
        if (isKubeError(error, 404)) return undefined;
        throw error;
      }
    },
    delete: async (resource, name, namespace, { preconditions } = {}) => {
      const body = preconditions
        ? { apiVersion: 'v1', kind: 'DeleteOptions', preconditions }
        : undefined;
      try {
        const response = await send('DELETE', collectionPath(resource, namespace, name), { body });
        await response.body.dump();
      } catch (error) {
        if (!isKubeError(error, 404)) throw error;
      }
    },
    tokenReview: async (token, audiences) => {
      const { status = {} } = await json('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
        body: {
          apiVersion: 'authentication.k8s.io/v1',
          kind: 'TokenReview',
          spec: { token, audiences },
        },
      });
      const { user = {}, error } = status;
      const authenticated = status.authenticated === true;
      return { authenticated, username: user.username, extra: user.extra, error };
    },
    close,
  };
}

function connect(kubeconfigPath: string | undefined): { send: Send; close(): Promise<void> } {
  const config = new KubeConfig();
  if (kubeconfigPath) config.loadFromFile(kubeconfigPath);
  else config.loadFromDefault();
  const server = config.getCurrentCluster()?.server.replace(/\/$/, '');
  if (!server) {
    const source = kubeconfigPath ?? 'default kubeconfig';
    throw new Error(`${source}: no current cluster; set current-context to one that exists`);
  }

  let agent: Agent | undefined;
  let agentKey = '';

  /** Credentials are read for each request: service account tokens and certificates rotate. */
  async function credentials(): Promise<{ headers: Record<string, string>; agent: Agent }> {
    const read: RequestOptions & { headers: Record<string, string> } = { headers: {} };
    await config.applyToHTTPSOptions(read);
    const { ca, cert, key, rejectUnauthorized, servername } = read;
    const tls = { ca, cert, key, rejectUnauthorized, servername };
    const nextKey = JSON.stringify(tls);
    if (!agent || nextKey !== agentKey) {
      const connectOptions = Object.fromEntries(
        Object.entries(tls).filter(([, value]) => value !== undefined),
      );
      // The old agent closes once its requests, watches included, have ended by themselves.
      void agent?.close();
      agent = new Agent({ connect: connectOptions, connections: connectionsMax });
      agentKey = nextKey;
    }
    return { headers: read.headers, agent };
  }

  const send: Send = async (method, path, { body, contentType, timeoutMs, signal }) => {
    const { headers, agent } = await credentials();
    if (body !== undefined) headers['content-type'] = contentType ?? 'application/json';
    const response = await request(`${server}${path}`, {
      method,
      headers: { ...headers, accept: 'application/json' },
      dispatcher: agent,
      bodyTimeout: timeoutMs ?? defaultTimeoutMs,
      headersTimeout: timeoutMs ?? defaultTimeoutMs,
      signal: signal ?? AbortSignal.timeout(timeoutMs ?? defaultTimeoutMs),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    }).catch((cause: Error) => {
      throw new KubeError(0, `${method} ${path}: no answer: ${cause.message}`, { cause });
    });
    if (response.statusCode < 300) return response;
    const text = await response.body.text();
    throw new KubeError(
      response.statusCode,
      `${method} ${path}: ${response.statusCode}: ${statusMessage(text)}`,
    );
  };
  return { send, close: async () => agent?.destroy() };
}

function statusMessage(text: string): string {
  try {
    return (JSON.parse(text) as { message?: string }).message ?? text.slice(0, 512);
  } catch {
    return text.slice(0, 512);
  }
}
