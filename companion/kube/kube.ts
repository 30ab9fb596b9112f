import { json } from 'node:stream/consumers';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { readKubeconfig, serviceAccount } from './credentials.ts';
import { createKubeMetrics } from './metrics.ts';
import { isKubeError, type Kube, KubeError, type KubeObject, type TokenReview } from './object.ts';
import { collectionPath, objectPath } from './path.ts';
import { createSend, type Send } from './request.ts';
import { startWatch } from './watch.ts';

/**
 * The only access to the API server. Requests are made by hand, because the generated API of the
 * official client defaults to strategic merge patches and its informer does not restart after an
 * error.
 */

/**
 * `kubeconfig`: path of a file; empty for the service account in the folder `serviceAccountPath`.
 */
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
      // Deleting a missing object is a success.
      if (method !== 'GET' || status !== '404') requestsFailed.inc({ method, status });
      throw error;
    }
  };

  const ask: Ask = async (...args) => (await json(await send(...args))) as KubeObject;

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
    replace: (object, { timeoutMs } = {}) =>
      ask('PUT', objectPath(object), { body: object, ...given({ timeoutMs }) }),
    get: async (resource, name, namespace, { timeoutMs } = {}) => {
      try {
        return await ask('GET', collectionPath(resource, namespace, name), given({ timeoutMs }));
      } catch (error) {
        if (isKubeError(error, 404)) return undefined;
        throw error;
      }
    },
    serves: async ({ group, version }) => {
      try {
        (await send('GET', `/apis/${group}/${version}`, {})).resume();
        return true;
      } catch (error) {
        if (isKubeError(error, 404)) return false;
        throw error;
      }
    },
    listMetadata: async (resource) => {
      const accept = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';
      const path = `${collectionPath(resource)}?resourceVersion=0`;
      return ((await ask('GET', path, { accept })).items ?? []) as KubeObject[];
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
    tokenReview: (token, audiences) => tokenReview(ask, token, audiences),
    mayList: (user, plural, namespace) => mayList(ask, user, plural, namespace),
    close,
  };
}

type Ask = (...args: Parameters<Send>) => Promise<KubeObject>;

async function tokenReview(ask: Ask, token: string, audiences: string[]): Promise<TokenReview> {
  const { status = {} } = await ask('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
    body: {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      spec: { token, audiences },
    },
  });
  const { user = {}, error } = status;
  const authenticated = status.authenticated === true;
  const { username, uid, groups, extra } = user;
  return { authenticated, username, uid, groups, extra, error };
}

async function mayList(
  ask: Ask,
  { username, uid, groups, extra }: TokenReview,
  resource: string,
  namespace = '',
): Promise<boolean> {
  const asked = { group: 'lazyscope.io', version: '*', resource, verb: 'list', namespace };
  const { status = {} } = await ask('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', {
    body: {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      spec: { user: username, uid, groups, extra, resourceAttributes: asked },
    },
  });
  return status.allowed === true;
}

/**
 * Calls run one after the other, in the order of the requests; a failure affects only its caller.
 */
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
