import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import fastify, { type FastifyInstance, type FastifyReply } from 'fastify';
import type { Logger } from 'pino';
import { createQuota } from '../bounds/quota.ts';
import { createRateLimit } from '../bounds/rate.ts';
import { decodeReport, type FilterReport, ReportError } from '../contract/filter-report.ts';
import type { Admit, Path } from './admit.ts';
import type { Aggregate } from './aggregate.ts';
import { answerAsked } from './asked-request.ts';
import { shareConnections } from './connections.ts';
import type { Decisions } from './decisions.ts';
import { answerHeld } from './held-request.ts';
import type { Hold } from './hold.ts';
import type { NodeMetrics } from './metrics.ts';
import type { Pod } from './pods.ts';

export type IngressOptions = {
  port: number;
  host: string;
  admit: Admit;
  /** Whether the address belongs to a served pod. */
  serves(address: string): boolean;
  aggregate: Aggregate;
  decisions: Decisions;
  hold: Hold;
  /** A proxy has reported; `urgent`: the proxy is new or used a destination for the first time. */
  onReport(pod: Pod, urgent: boolean): void;
  metrics: NodeMetrics;
  log: Logger;
};

export const ingressBounds = {
  /** Reports: the bound of contract/filter-report.ts. */
  bodyBytes: 64 * 1024,
  /**
   * Held requests carry the headers of the app: Envoy accepts 60 KiB by default, plus the headers
   * of the filter.
   */
  headerBytes: 96 * 1024,
  /** Backlog of connections: all proxies may connect at once after a restart of this process. */
  backlog: 4096,
  /** Reports that are being received at once: 16 MB; two for each of 32 workers of a pod. */
  reports: { all: 256, perKey: 64 },
  /** Timeouts for the headers and for the whole request; both come from the same machine. */
  receiveMs: 10_000,
  /** How often Node.js checks these timeouts. */
  checkMs: 2_000,
  /**
   * Envoy keeps idle connections for an hour. If the server closed first, it would sometimes meet a
   * request in flight.
   */
  idleMs: 3_660_000,
};

/**
 * The port that filters connect to. Fastify serves reports. Questions go to node:http directly,
 * because calls wait for them, and so do all other requests, the held ones of apps, because a
 * framework refuses methods, paths and content types that an app may use.
 */
export async function startIngress(options: IngressOptions): Promise<FastifyInstance> {
  const server = fastify({
    logger: false,
    bodyLimit: ingressBounds.bodyBytes,
    serverFactory: (handleApi) => createIngressServer(options, handleApi),
    clientErrorHandler: (error, socket) => refuseUnparsed(options.metrics, error, socket),
  });
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_, body, done) =>
    done(null, body),
  );
  server.setErrorHandler<{ statusCode?: number; code?: string }>(async (error, _, reply) => {
    const status = error.statusCode ?? 500;
    options.metrics.refused.inc({ path: 'report', reason: error.code ?? 'internal' });
    if (status >= 500) options.log.error({ err: error, path: 'report' }, 'request failed');
    return reply.code(status).send();
  });
  routeReport(server, options);
  await server.listen({
    port: options.port,
    host: options.host,
    backlog: ingressBounds.backlog,
  });
  options.log.info({ address: server.server.address() }, 'node port open');
  return server;
}

/** A report, or the fault in it. */
function readReport(body: Buffer): FilterReport | string {
  try {
    return decodeReport(body);
  } catch (error) {
    if (error instanceof ReportError) return error.message;
    throw error;
  }
}

function routeReport(server: FastifyInstance, options: IngressOptions): void {
  const { aggregate, onReport, metrics, log } = options;
  // The metric counts all; a log that a pod can flood is useless.
  const warnings = createRateLimit({ perSecond: 0.1, burst: 5 }, () => performance.now());
  const receiving = createQuota(ingressBounds.reports);
  const admitted = new WeakMap<IncomingMessage, Pod>();

  /** Before the body is read: an unsolicited body must not take memory. */
  async function admitReport({ raw }: { raw: IncomingMessage }, reply: FastifyReply) {
    const admission = options.admit(raw, 'report');
    if ('status' in admission) return refuse(reply, admission.status);
    const { uid } = admission.pod;
    if (!receiving.enter(uid)) {
      metrics.refused.inc({ path: 'report', reason: 'too-many-at-once' });
      return refuse(reply, 503);
    }
    raw.once('close', () => receiving.leave(uid));
    admitted.set(raw, admission.pod);
  }

  server.post<{ Body: Buffer | undefined }>(
    '/v1/report',
    { onRequest: admitReport },
    async (request, reply) => {
      const pod = admitted.get(request.raw);
      if (!pod) return reply.code(403).send();
      const report = request.body ? readReport(request.body) : 'no body';
      if (typeof report === 'string') {
        metrics.refused.inc({ path: 'report', reason: 'malformed' });
        const { namespace, name } = pod;
        if (warnings.take('report')) {
          log.warn({ namespace, pod: name, problem: report }, 'unusable report');
        }
        return reply.code(400).send();
      }
      const { whole, firstSight } = aggregate.record(pod, report);
      onReport(pod, firstSight);
      return reply.code(whole ? 204 : 409).send();
    },
  );
}

/** The rest of the connection may be a body that nobody reads. */
function refuse(reply: FastifyReply, status: number): FastifyReply {
  return reply.code(status).header('connection', 'close').send();
}

/**
 * A held request may have any path, including the paths of this port. The distinction is made by
 * headers that the app cannot set, because its proxy strips them.
 */
function pathOf({ url, headers }: IncomingMessage): Path {
  if (url === '/v1/resolve' && headers['x-lazyscope-call'] !== undefined) return 'resolve';
  if (url === '/v1/report' && headers['x-lazyscope-destination'] === undefined) return 'report';
  return 'hold';
}

function createIngressServer(
  options: IngressOptions,
  handleApi: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
  const { log } = options;
  const server = createServer(
    {
      maxHeaderSize: ingressBounds.headerBytes,
      headersTimeout: ingressBounds.receiveMs,
      requestTimeout: ingressBounds.receiveMs,
      connectionsCheckingInterval: ingressBounds.checkMs,
      keepAliveTimeout: ingressBounds.idleMs,
      // Detects peers that disappeared without closing, since idle connections are kept that long.
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
      noDelay: true,
    },
    (request, response) => {
      // A client that is not served needs no persistent connection.
      if (!options.serves(request.socket.remoteAddress ?? '')) response.shouldKeepAlive = false;
      const path = pathOf(request);
      if (path === 'resolve') return answerAsked(options, request, response);
      if (path === 'report') return handleApi(request, response);
      answerHeld(options, request, response).catch((err) => {
        log.error({ err }, 'held request failed');
        response.destroy();
      });
    },
  );
  shareConnections(server, options);
  return server;
}

/**
 * A request that Node cannot parse (an unknown method, a path with bytes above ASCII, too many
 * headers) has no address to be sent back to, so a filter must not hold it.
 */
function refuseUnparsed(
  metrics: NodeMetrics,
  error: Error & { code?: string },
  socket: Socket,
): void {
  const { code = 'unknown' } = error;
  if (code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  metrics.refused.inc({ path: 'unparsed', reason: code });
  const status = unparsedStatus[code] ?? '400 Bad Request';
  socket.end(`HTTP/1.1 ${status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
}

const unparsedStatus: Record<string, string> = {
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
};
