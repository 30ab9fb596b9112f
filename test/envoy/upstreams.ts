import { execFile } from 'node:child_process';
import { constants } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { listen } from '../../embedded/listen.ts';

const run = promisify(execFile);

/** The request as an upstream saw it, which the upstream sends back. */
export type Seen = {
  server: string;
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
  body: string;
  sni: string | undefined;
};

export type Upstream = { port: number; stop: () => Promise<void> };

export async function startHttp(name: string): Promise<Upstream> {
  return listen(createServer((request, response) => echo(name, request, response)));
}

async function echo(name: string, request: IncomingMessage, response: ServerResponse) {
  const socket = request.socket as Partial<TLSSocket>;
  const seen: Seen = {
    server: name,
    method: request.method ?? '',
    url: request.url ?? '',
    headers: request.headers,
    body: await text(request),
    sni: typeof socket.servername === 'string' ? socket.servername : undefined,
  };
  // The path may ask for another status, so that a test sees how the proxy handles that status.
  response.statusCode = Number(/^\/status\/(\d{3})$/.exec(seen.url)?.[1] ?? 200);
  if (response.statusCode === 307) response.setHeader('location', `http://${seen.headers.host}/`);
  const [, grpcStatus] = /^\/grpc-status\/(\d+)$/.exec(seen.url) ?? [];
  if (grpcStatus) response.setHeader('grpc-status', grpcStatus);
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(seen));
}

/** Passes connections on to a port, except those that it resets at once. */
export type Passage = Upstream & {
  /** Connections to reset from now on, before a byte has passed. */
  resets: number;
};

export async function startPassage(to: number): Promise<Passage> {
  const server = createTcpServer((socket) => {
    socket.on('error', () => {});
    if (passage.resets > 0) {
      passage.resets -= 1;
      socket.resetAndDestroy();
      return;
    }
    const onward = connect(to, '127.0.0.1');
    onward.on('error', () => socket.destroy());
    socket.on('close', () => onward.destroy());
    socket.pipe(onward).pipe(socket);
  });
  const passage: Passage = { ...(await listen(server)), resets: 0 };
  return passage;
}

/** A TCP server that speaks first or answers. Either way it sends its name. */
export async function startTcp(name: string, speaksFirst: boolean): Promise<Upstream> {
  return listen(
    createTcpServer((socket) => {
      if (speaksFirst) socket.end(`${name} greets`);
      else socket.once('data', (data) => socket.end(`${name} got ${data}`));
    }),
  );
}

export type Certificates = {
  client: { ca: string; certificate: string; key: string };
  server: { ca: string; certificate: string; key: string };
  remove(): Promise<void>;
};

/**
 * Makes a temporary mesh CA, with a client and a server certificate that carry SPIFFE identities.
 */
export async function makeCertificates(serverIdentity: string): Promise<Certificates> {
  const folder = await mkdtemp(join(tmpdir(), 'lazyscope-ca-'));
  const path = (file: string) => join(folder, file);
  const openssl = (...args: string[]) => run('openssl', args);
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const ca = path('ca.pem');
  await openssl(
    ...['req', '-x509', ...newKey, '-days', '2', '-subj', '/O=cluster.local'],
    ...['-keyout', path('ca.key'), '-out', ca],
  );
  const issue = async (name: string, identity: string) => {
    const [key, certificate] = [path(`${name}.key`), path(`${name}.pem`)];
    await writeFile(path(`${name}.ext`), `subjectAltName=critical,URI:${identity}\n`);
    await openssl('req', ...newKey, '-subj', '/', '-keyout', key, '-out', path(`${name}.csr`));
    await openssl(
      ...['x509', '-req', '-in', path(`${name}.csr`), '-CA', ca, '-CAkey', path('ca.key')],
      ...['-CAcreateserial', '-days', '2', '-extfile', path(`${name}.ext`), '-out', certificate],
    );
    return { ca, certificate, key };
  };
  return {
    client: await issue('client', 'spiffe://cluster.local/ns/app/sa/client'),
    server: await issue('server', serverIdentity),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/** Node.js loses the SNI of a resumed session, and the tests check the SNI. */
const noResumption = { secureOptions: constants.SSL_OP_NO_TICKET };

/** An HTTPS server that requires a client certificate and returns the SNI of the connection. */
export async function startMutualTls(
  name: string,
  files: Certificates['server'],
): Promise<Upstream> {
  const [ca, cert, key] = await Promise.all([
    readFile(files.ca),
    readFile(files.certificate),
    readFile(files.key),
  ]);
  const options = { ...noResumption, ca, cert, key, requestCert: true, rejectUnauthorized: true };
  return listen(createHttpsServer(options, (request, response) => echo(name, request, response)));
}

/**
 * A TCP server with mutual TLS that speaks first or answers the first bytes, and returns the SNI.
 */
export async function startMutualTcp(
  name: string,
  files: Certificates['server'],
  speaksFirst: boolean,
  host?: '::1',
): Promise<Upstream> {
  const [ca, cert, key] = await Promise.all([
    readFile(files.ca),
    readFile(files.certificate),
    readFile(files.key),
  ]);
  const options = { ...noResumption, ca, cert, key, requestCert: true, rejectUnauthorized: true };
  return listen(
    createTlsServer(options, (socket) => {
      const { servername } = socket as TLSSocket & { servername: string };
      if (speaksFirst) socket.end(`${name} greets ${servername}`);
      else socket.once('data', (data) => socket.end(`${name} got ${data} from ${servername}`));
    }),
    host,
  );
}
