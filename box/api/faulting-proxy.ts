import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { selfSigned } from '../../companion/controller/nodes/x509.ts';
import { type AccountRef, tokenOf } from './accounts.ts';
import type { ApiServer } from './api-server.ts';

/** The fault applied to a request before or instead of forwarding it. */
export type Fault = { delayMs: number } | { status: number } | undefined;
export type Asked = { method: string; path: string; isWatch: boolean };

/** A write that the API server accepted: its revision in etcd, and its time in milliseconds. */
export type Write = {
  writer: string;
  path: string;
  revision: number;
  at: number;
  /** Of a Lease: its new holder. */
  holder?: string;
};

/** Stands between one client and the API server, and remembers what that client wrote. */
export type FaultingProxy = {
  /** The client's variables, in place of the API server's own. */
  environment: Record<string, string>;
  account: string;
  /** Decides about each request; set by the tests. */
  fault: (asked: Asked) => Fault;
  /** Breaks every open connection. */
  cut(): void;
  writeToken(token?: string): Promise<void>;
  /** Serves with another certificate from now on, and gives its CA to the client. */
  rotateCa(): Promise<void>;
  stop(): Promise<void>;
};

const host = 'localhost';

export async function startFaultingProxy(
  api: ApiServer,
  account: AccountRef,
  writer: string,
  history: Write[],
): Promise<FaultingProxy> {
  const folder = await mkdtemp(join(tmpdir(), 'lazyscope-proxy-'));
  const upstream = `https://127.0.0.1:${api.environment.KUBERNETES_SERVICE_PORT}`;
  const agent = new HttpsAgent({ keepAlive: true, rejectUnauthorized: false });
  const first = selfSigned(host, new Date(Date.now() - 60_000), 2);

  async function pass(asked: Asked, incoming: IncomingMessage, response: ServerResponse) {
    // Forwards the whole request even if the client has given up: a slow server does the work too.
    const body = await buffer(incoming);
    const fault = proxy.fault(asked);
    if (fault && 'status' in fault) {
      response.writeHead(fault.status, { 'content-type': 'application/json' });
      return void response.end(JSON.stringify({ kind: 'Status', message: 'fault of the test' }));
    }
    if (fault) await sleep(fault.delayMs);
    const { host: _, ...headers } = incoming.headers;
    const sent = httpsRequest(`${upstream}${asked.path}`, { method: asked.method, headers, agent });
    sent.on('error', () => response.destroy());
    sent.end(body);
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    response.on('close', () => asked.isWatch && answer.destroy());
    answer.on('error', () => response.destroy());
    if (asked.method === 'GET') return void answer.pipe(response);
    const result = await buffer(answer);
    if ((answer.statusCode ?? 500) < 300) recordWrite(asked, result);
    response.end(result);
  }

  function recordWrite({ path }: Asked, result: Buffer): void {
    const { metadata, spec } = JSON.parse(String(result));
    // Token reviews change nothing.
    if (!metadata?.resourceVersion) return;
    const revision = Number(metadata.resourceVersion);
    const write = { writer, path, revision, at: performance.now() };
    history.push(
      path.includes('/leases') ? { ...write, holder: spec.holderIdentity ?? '' } : write,
    );
  }

  const server = createServer({ cert: first.certificate, key: first.key }, (incoming, response) => {
    const path = incoming.url ?? '/';
    const asked = { method: incoming.method ?? '', path, isWatch: path.includes('watch=true') };
    pass(asked, incoming, response).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const proxy: FaultingProxy = {
    environment: { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: String(port) },
    account: folder,
    fault: () => undefined,
    cut: () => server.closeAllConnections(),
    async writeToken(token) {
      await writeFile(join(folder, 'token'), token ?? (await tokenOf(api, account)));
    },
    async rotateCa() {
      const { certificate: cert, key } = selfSigned(host, new Date(Date.now() - 60_000), 2);
      await writeFile(join(folder, 'ca.crt'), cert);
      server.setSecureContext({ cert, key });
      server.closeAllConnections();
    },
    async stop() {
      server.closeAllConnections();
      server.close();
      agent.destroy();
      await rm(folder, { recursive: true });
    },
  };
  await writeFile(join(folder, 'ca.crt'), first.certificate);
  await proxy.writeToken();
  return proxy;
}

/** Objects that only a leader may write; each replica publishes its serving certificate. */
const ofLeader = /\/(sidecars|workloadscopes|serviceentries)\b/;

/** Writes that etcd committed while their client did not hold the Lease; there must be none. */
export function writesWithoutLease(history: readonly Write[]): Write[] {
  const seen = new Set<string>();
  let holder = '';
  return [...history]
    .sort((a, b) => a.revision - b.revision || a.at - b.at)
    .filter((write) => {
      if (write.holder !== undefined) holder = write.holder;
      // An apply that changes nothing is not a write: it returns the previous revision.
      const key = `${write.revision} ${write.path.replace(/\?.*/, '')}`;
      const isWrite = ofLeader.test(write.path) && !seen.has(key);
      seen.add(key);
      return isWrite && write.writer !== holder;
    });
}
