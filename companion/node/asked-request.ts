import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import type { Answer } from '../contract/rpc.ts';
import type { Admit } from './admit.ts';
import { readCall, readTook } from './call-headers.ts';
import type { Decisions, TimedAnswer } from './decisions.ts';
import type { NodeMetrics } from './metrics.ts';

export type AskedRequestOptions = {
  admit: Admit;
  decisions: Decisions;
  metrics: NodeMetrics;
  log: Logger;
};

/**
 * Answers a question of a filter. A call waits for it, so it is handled without a framework, and
 * without a promise if the answer is known on this node.
 */
export function answerAsked(
  options: AskedRequestOptions,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const fail = (err: unknown) => {
    options.metrics.refused.inc({ path: 'resolve', reason: 'internal' });
    options.log.error({ err, path: 'resolve' }, 'request failed');
    end(response, 500);
  };
  try {
    const decision = decide(options, request);
    if (typeof decision === 'number') end(response, decision);
    else if (!(decision instanceof Promise)) reply(response, decision);
    else decision.then((answer) => reply(response, answer)).catch(fail);
  } catch (err) {
    fail(err);
  }
}

/** The answer, or the status to refuse with. */
function decide(
  { admit, decisions, metrics }: AskedRequestOptions,
  request: IncomingMessage,
): ReturnType<Decisions['decide']> | number {
  if (request.method !== 'GET') return 404;
  const admission = admit(request, 'resolve');
  if ('status' in admission) return admission.status;
  const call = readCall(request.headers);
  if (typeof call === 'string') {
    metrics.refused.inc({ path: 'resolve', reason: 'malformed' });
    return 400;
  }
  const took = readTook(request.headers);
  if (took !== undefined) metrics.questionSeconds.observe(took);
  return decisions.decide(admission.pod, call);
}

function reply(response: ServerResponse, decision: TimedAnswer | undefined): void {
  if (!decision) end(response, 503);
  else end(response, 200, answerHeaders(decision.answer, decision.ttlSeconds));
}

function end(response: ServerResponse, status: number, headers: Record<string, string> = {}): void {
  response.writeHead(status, { ...headers, 'content-length': '0' }).end();
}

/** The answer to a filter (wasm-filter/answer.ts parses it). */
export function answerHeaders(answer: Answer, ttlSeconds: number): Record<string, string> {
  const { strategy, otherwise, sni, identities, retries } = answer;
  return {
    'x-lazyscope-strategy': strategy,
    'x-lazyscope-ttl': String(ttlSeconds),
    ...(strategy === 'hold' && { 'x-lazyscope-otherwise': otherwise }),
    ...(sni !== '' && { 'x-lazyscope-sni': sni }),
    ...(identities.length > 0 && { 'x-lazyscope-identities': identities.join(',') }),
    ...(retries && {
      'x-lazyscope-retries': String(retries.attempts),
      ...(retries.on && { 'x-lazyscope-retry-on': retries.on }),
      ...(retries.grpcOn && { 'x-lazyscope-retry-grpc-on': retries.grpcOn }),
      ...(retries.codes && { 'x-lazyscope-retry-codes': retries.codes }),
      ...(retries.perTryMs > 0 && { 'x-lazyscope-retry-timeout': String(retries.perTryMs) }),
    }),
  };
}
