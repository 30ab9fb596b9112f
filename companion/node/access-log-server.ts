import { once } from 'node:events';
import {
  constants,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Logger } from 'pino';
import type { AccessLogs, LogStream, Refused } from './access-log.ts';
import { shareConnections } from './connections.ts';
import type { NodeMetrics } from './metrics.ts';

/**
 * The port that Envoys send their access logs to: gRPC over HTTP/2 without TLS. Written on
 * node:http2, because a message must be skipped, not refused, when it exceeds a bound: whatever
 * else Envoy would wait for, it drops.
 */
export const logPaths = {
  stream: '/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs',
  check: '/grpc.health.v1.Health/Check',
};

const serverBounds = {
  /** Envoy has a connection for each worker, and one for health checks; about 30 KB each. */
  connections: { all: 2_048, source: 128, strangers: 64 },
  /** At once on a connection: two loggers and a health check, and as many that drain. */
  streamsPerConnection: 16,
  /** The headers of a gRPC request are below 1 KB. */
  headerBytes: 8 * 1024,
  /** Megabytes that Node.js may keep for a connection. */
  sessionMegabytes: 2,
  /** A connection that does not answer a ping until the next one is closed. */
  pingMs: 20_000,
  /** Envoy keeps a connection without streams for an hour. */
  idleMs: 3_660_000,
};

/** Numbers of gRPC: google.golang.org/grpc/codes. */
const statusOf: Record<Refused['refused'], string> = {
  'unknown-source': '7',
  'namespace-not-enabled': '7',
  limited: '8',
  full: '8',
};
const unimplemented = '12';

/** HealthCheckResponse with status SERVING, as a gRPC message. */
const serving = Buffer.from([0, 0, 0, 0, 2, 8, 1]);

export type AccessLogServerOptions = {
  port: number;
  host: string;
  logs: AccessLogs;
  /** Whether the address belongs to a served pod. */
  serves(address: string): boolean;
  metrics: NodeMetrics;
  log: Logger;
};

export async function startAccessLogServer(options: AccessLogServerOptions) {
  const { port, host, logs, log } = options;
  const bounds = serverBounds;
  const server = createServer({
    maxSessionMemory: bounds.sessionMegabytes,
    maxSendHeaderBlockLength: bounds.headerBytes,
    settings: {
      enablePush: false,
      maxConcurrentStreams: bounds.streamsPerConnection,
      maxHeaderListSize: bounds.headerBytes,
    },
  });
  shareConnections(server, { ...options, bounds: bounds.connections });
  const sessions = new Set<ServerHttp2Session>();
  server.on('session', (session) => follow(session, sessions));
  server.on('stream', (stream, headers) => serve(logs, stream, headers));
  // Faults of clients, which the end of their sessions reports.
  server.on('sessionError', (err) => log.debug({ err }, 'access log connection failed'));
  server.listen({ port, host, backlog: 1024 });
  await once(server, 'listening');
  log.info({ address: server.address() }, 'access log port open');
  const pinging = setInterval(() => ping(sessions), bounds.pingMs);
  return { server, close: () => close(server, sessions, pinging) };
}

async function close(
  server: Http2Server,
  sessions: Set<ServerHttp2Session>,
  pings: NodeJS.Timeout,
) {
  clearInterval(pings);
  const closed = new Promise((resolve) => server.close(resolve));
  // Streams of Envoy do not end by themselves.
  for (const session of sessions) session.destroy();
  await closed;
}

function follow(session: ServerHttp2Session, sessions: Set<ServerHttp2Session>): void {
  sessions.add(session);
  session.setTimeout(serverBounds.idleMs, () => session.destroy());
  session.on('error', () => session.destroy());
  session.on('close', () => sessions.delete(session));
}

/** Sessions whose last ping was not answered. */
const unanswered = new WeakSet<ServerHttp2Session>();

function ping(sessions: Iterable<ServerHttp2Session>): void {
  for (const session of sessions) {
    if (session.destroyed) continue;
    if (unanswered.has(session)) {
      session.destroy();
      continue;
    }
    unanswered.add(session);
    session.ping((err) => {
      if (!err) unanswered.delete(session);
    });
  }
}

function serve(logs: AccessLogs, stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  // A reset by the client is an end like any other.
  stream.on('error', () => stream.destroy());
  const address = stream.session?.socket.remoteAddress ?? '';
  const path = headers[constants.HTTP2_HEADER_PATH];
  if (path === logPaths.check) answerCheck(logs.check(address), stream);
  else if (path === logPaths.stream) receive(logs.open(address), stream);
  else end(stream, unimplemented);
}

function receive(opened: LogStream | Refused, stream: ServerHttp2Stream): void {
  if ('refused' in opened) {
    end(stream, statusOf[opened.refused]);
    return;
  }
  stream.respond(grpcHeaders, { waitForTrailers: true });
  stream.on('data', (chunk: Buffer) => {
    if (!opened.receive(chunk)) stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.on('end', () => stream.end());
  stream.on('close', () => opened.ended());
}

const grpcHeaders = {
  [constants.HTTP2_HEADER_STATUS]: 200,
  [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
};

function end(stream: ServerHttp2Stream, status: string): void {
  if (stream.destroyed) return;
  stream.resume();
  stream.respond({ ...grpcHeaders, 'grpc-status': status }, { endStream: true });
  // Envoy would go on sending: the body of a gRPC stream has no end.
  stream.close(constants.NGHTTP2_NO_ERROR);
}

function answerCheck(checked: 'serving' | Refused, stream: ServerHttp2Stream): void {
  if (checked !== 'serving') {
    end(stream, statusOf[checked.refused]);
    return;
  }
  stream.resume();
  stream.respond(grpcHeaders, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.end(serving);
}
