import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Admit } from './admit.ts';
import { readHeldCall } from './call-headers.ts';
import type { Hold } from './hold.ts';
import type { NodeMetrics } from './metrics.ts';

/** The filter holds bodies up to 64 KiB; the companion reads the body and discards it. */
const bodyBytesMax = 64 * 1024;

export type HeldRequestOptions = { admit: Admit; hold: Hold; metrics: NodeMetrics };

/**
 * Answers a held request with any method, path and content. It never fails a request of the app: a
 * request that cannot or may not be held is sent back at once, and its proxy decides. The answer
 * discloses nothing, because it contains only data of the request, and no controller is asked.
 */
export async function answerHeld(
  { admit, hold, metrics }: HeldRequestOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const admission = admit(request, 'hold');
  const client = new AbortController();
  response.on('close', () => client.abort());
  const body = readAway(request);
  const call = readHeldCall(request.headers);
  if (typeof call === 'string') metrics.refused.inc({ path: 'hold', reason: 'malformed' });
  else if ('pod' in admission) await hold.wait(admission.pod, call, client.signal);
  if (client.signal.aborted) return;
  const complete = await body;
  if (!complete) metrics.refused.inc({ path: 'hold', reason: 'too-large' });
  if (response.destroyed || request.headers.host === undefined) return void response.destroy();
  response.writeHead(307, {
    location: `http://${request.headers.host}${request.url ?? '/'}`,
    'content-length': 0,
    // The rest of a body that is too large cannot be told apart from a next request.
    ...(!complete && { connection: 'close' }),
  });
  response.end();
}

/**
 * Resolves to true at the end of the body, and to false as soon as the body is too large or broken.
 */
function readAway(request: IncomingMessage): Promise<boolean> {
  let size = 0;
  return new Promise((resolve) => {
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > bodyBytesMax) resolve(false);
    });
    request.on('end', () => resolve(true));
    request.on('error', () => resolve(false));
    request.on('close', () => resolve(request.complete));
  });
}
