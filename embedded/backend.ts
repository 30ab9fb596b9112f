import { constants } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import type { TLSSocket } from 'node:tls';

/**
 * A process that answers for many services, as `backend.ts KEYS.json`. It plays an app and its
 * sidecar in one, so it accepts mutual TLS only. It writes its port to standard output, describes
 * each request in its answer, and ends when its standard input ends.
 */

export type BackendKeys = { name: string; certificate: string; key: string; ca: string };

/** The request as it arrived. */
export type Seen = {
  backend: string;
  host: string;
  method: string;
  path: string;
  /** Bytes of the body. */
  body: number;
  /** SPIFFE identity of the caller's certificate. */
  caller: string;
  sni: string;
  /** Headers that routed the request on its way; they should not arrive here. */
  leaked: string[];
};

const keys = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as BackendKeys;

const server = createServer(
  {
    cert: keys.certificate,
    key: keys.key,
    ca: keys.ca,
    requestCert: true,
    rejectUnauthorized: true,
    // The ALPN protocols of Istio's mTLS between proxies. The connection still carries HTTP/1.1.
    ALPNProtocols: ['istio', 'istio-peer-exchange', 'istio-http/1.1', 'http/1.1'],
    // Node forgets the SNI of a resumed session.
    secureOptions: constants.SSL_OP_NO_TICKET,
    // Longer than Envoy keeps an idle connection, so that no request meets a closing one.
    keepAliveTimeout: 3_660_000,
  },
  async (request, response) => {
    const body = await buffer(request);
    response.setHeader('content-type', 'application/json');
    response.end(`${JSON.stringify(seen(request, body.length))}\n`);
  },
);

function seen({ headers, method = '', url = '', socket }: IncomingMessage, body: number): Seen {
  const tls = socket as TLSSocket & { servername: string | false };
  return {
    backend: keys.name,
    host: headers.host ?? '',
    method,
    path: url,
    body,
    caller: (tls.getPeerCertificate().subjectaltname ?? '').replace(/^URI:/, ''),
    sni: tls.servername || '',
    leaked: Object.keys(headers).filter((name) => name.startsWith('x-lazyscope-')),
  };
}

server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`);
});
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
