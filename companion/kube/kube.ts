import { json } from 'node:stream/consumers';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { createKubeMetrics } from '../frame/metrics.ts';
import { readKubeconfig, serviceAccount } from './credentials.ts';
import { collectionPath, objectPath } from './path.ts';
import { createSend, type Send } from './request.ts';
import { startWatch } from './watch.ts';

/**
 * The only door to the API server. Requests are made by hand, because the generated API of the
 * official client defaults to strategic merge patches and its informer does not restart after an
 * error.
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
  create(object: KubeObject, options?: { timeoutMs?: number }): Promise<KubeObject>;
  /** Update guarded by `metadata.resourceVersion`: 409 when somebody else was faster. */
  replace(object: KubeObject): Promise<KubeObject>;
  /** Undefined when there is no such object. */
  get(resource: Resource, name: string, namespace?: string): Promise<KubeObject | undefined>;
  /** Deleting what is gone already is success. */
  delete(
    resource: Resource,
    name: string,
    namespace?: string,
    options?: { preconditions?: Preconditions; timeoutMs?: number },
  ): Promise<void>;
  tokenReview(token: string, audiences: string[]): Promise<TokenReview>;
  /** Closes connections; watches must have been stopped. */
  close(): void;
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

/** `kubeconfig`: path of a file; empty for the service account in the folder `serviceAccountPath`. */
export type KubeConfig = { kubeconfig: string; serviceAccountPath: string };

/** Throws when the configuration cannot be used; nothing is sent before the first request. */
export async function connectKube(
  { kubeconfig, serviceAccountPath }: KubeConfig,
  { log, registry }: { log: Logger; registry: Registry },
): Promise<Kube> {
  const { send: sendUncounted, close } = createSend(
    kubeconfig ? await readKubeconfig(kubeconfig) : serviceAccount(serviceAccountPath),
  );
  const { watchesBroken, requestsFailed, lastSuccess } = createKubeMetrics(registry);
  const onBrokenWatch = (resource: string) => watchesBroken.inc({ resource });
  const inTurn = createTurns();

  const send: Send = async (method, ...rest) => {
    try {
      const response = await sendUncounted(method, ...rest);
      lastSuccess.setToCurrentTime();
      return response;
    } catch (error) {
      const status = error instanceof KubeError ? String(error.status) : 'none';
      requestsFailed.inc({ method, status });
      throw error;
    }
  };

  async function ask(...args: Parameters<Send>): Promise<KubeObject> {
    return (await json(await send(...args))) as KubeObject;
  }

  return {
    watch: (resource, handler) =>
      startWatch({
        path: collectionPath(resource),
        resource,
        handler,
        send,
        log,
        onBrokenWatch,
        inTurn,
      }),
    apply: (object, apply) => {
      const query = new URLSearchParams({ fieldManager: apply.fieldManager });
      if (apply.force) query.set('force', 'true');
      const subresource = apply.subresource ? `/${apply.subresource}` : '';
      return ask('PATCH', `${objectPath(object)}${subresource}?${query}`, {
        body: object,
        contentType: 'application/apply-patch+yaml',
        ...given({ timeoutMs: apply.timeoutMs }),
      });
    },
    create: (object, { timeoutMs } = {}) =>
      ask('POST', objectPath(object, 'collection'), { body: object, ...given({ timeoutMs }) }),
    replace: (object) => ask('PUT', objectPath(object), { body: object }),
    get: async (resource, name, namespace) => {
      try {
        return await ask('GET', collectionPath(resource, namespace, name), {});
      } catch (error) {
        if (isKubeError(error, 404)) return undefined;
        throw error;
      }
    },
    delete: async (resource, name, namespace, { preconditions, timeoutMs } = {}) => {
      const body = preconditions
        ? { apiVersion: 'v1', kind: 'DeleteOptions', preconditions }
        : undefined;
      try {
        const path = collectionPath(resource, namespace, name);
        const response = await send('DELETE', path, { body, ...given({ timeoutMs }) });
        response.resume();
      } catch (error) {
        if (!isKubeError(error, 404)) throw error;
      }
    },
    tokenReview: async (token, audiences) => {
      const { status = {} } = await ask('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
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

/** One after the other, in the order of asking; a failure is its caller's alone. */
function createTurns(): <Result>(work: () => Promise<Result>) => Promise<Result> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const turn = last.then(work);
    last = turn.catch(() => undefined);
    return turn;
  };
}

function given({ timeoutMs }: { timeoutMs: number | undefined }): { timeoutMs?: number } {
  return timeoutMs === undefined ? {} : { timeoutMs };
}
