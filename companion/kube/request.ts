import { once } from 'node:events';
import {
  type ClientRequest,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
} from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import { addAbortSignal } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { ApiServer } from './credentials.ts';
import { KubeError } from './object.ts';

/** A request (not a watch) that takes longer than this would succeed too late to be useful. */
const defaultTimeoutMs = 10_000;
/** A dozen watches hold one connection each; the rest is for writes, which are rate limited. */
const connectionsMax = 64;
/**
 * Unused connections are closed before the API server closes them (90 s), so that no request meets
 * that.
 */
const idleMs = 30_000;
const json = 'application/json';

/** Sends one request; resolves with a success whose body is still unread, or throws a KubeError. */
export type Send = (
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
  path: string,
  options: {
    body?: unknown;
    contentType?: string;
    accept?: string;
    /** Milliseconds of silence; without `signal`, milliseconds for the whole request. */
    timeoutMs?: number;
    signal?: AbortSignal;
  },
) => Promise<IncomingMessage>;

/** Connections to the API server, kept for further requests until `close`. */
export function createSend({ url, credentials }: ApiServer): { send: Send; close(): void } {
  const pool = { keepAlive: true, maxSockets: connectionsMax, timeout: idleMs };
  const isTls = url.startsWith('https:');
  // A request does not use connections that were made with other certificates.
  const agent = isTls ? new HttpsAgent(pool) : new HttpAgent(pool);
  const request = isTls ? httpsRequest : httpRequest;

  const exchange: Send = async (method, path, options) => {
    const { body, contentType = json, accept = json, timeoutMs = defaultTimeoutMs } = options;
    const startedMs = performance.now();
    const signal = options.signal ?? AbortSignal.timeout(timeoutMs);
    const { headers, tls } = await credentials();
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const sent = request(`${url}${path}`, {
      ...tls,
      method,
      headers: {
        ...headers,
        accept,
        ...(payload !== undefined && {
          'content-type': contentType,
          'content-length': Buffer.byteLength(payload),
        }),
      },
      agent,
      signal,
      timeout: timeoutMs,
    });
    const silent = () => new Error(`silent for ${timeoutMs} ms`);
    sent.on('timeout', () => sent.destroy(silent()));
    await connected(sent, isTls);
    // Checked again, because timers fire late in a process that was stopped: it may have held a
    // lease at the start of the request, and another process holds it now.
    if (!options.signal && performance.now() - startedMs >= timeoutMs) {
      sent.destroy();
      throw new Error(`not sent within ${timeoutMs} ms`);
    }
    sent.end(payload);
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    // Later errors surface on the response; ignore them here.
    sent.on('error', () => undefined);
    sent.removeAllListeners('timeout').on('timeout', () => response.destroy(silent()));
    return addAbortSignal(signal, response);
  };

  const send: Send = async (method, path, options) => {
    const response = await exchange(method, path, options).catch((cause: Error) => {
      throw new KubeError(0, `${method} ${path}: no answer: ${cause.message}`, { cause });
    });
    const { statusCode = 0 } = response;
    if (statusCode < 300) return response;
    const message = statusMessage(await text(response));
    throw new KubeError(statusCode, `${method} ${path}: ${statusCode}: ${message}`);
  };
  return { send, close: () => agent.destroy() };
}

/** Waits for a new or pooled connection; from then on, data is sent at once. */
async function connected(sent: ClientRequest, isTls: boolean): Promise<void> {
  const [socket] = (await once(sent, 'socket')) as [Socket];
  if (!socket.connecting) return;
  // Errors are emitted on the request; the socket only signals that it has connected.
  await Promise.race([
    new Promise<void>((resolve) => socket.once(isTls ? 'secureConnect' : 'connect', resolve)),
    once(sent, 'close').then(() => undefined),
  ]);
}

function statusMessage(body: string): string {
  try {
    return (JSON.parse(body) as { message?: string }).message ?? body.slice(0, 512);
  } catch {
    return body.slice(0, 512);
  }
}
