import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { connectKube } from '../../../../companion/kube/kube.ts';
import type { Kube } from '../../../../companion/kube/object.ts';

export type Request = {
  method: string;
  url: URL;
  headers: IncomingMessage['headers'];
  body: string;
};
export type Answer = (request: Request, response: ServerResponse) => void;

/** An HTTP server with scripted answers, which the real client calls. */
export type ScriptedApi = {
  kube: Kube;
  /** Metrics of the client. */
  registry: Registry;
  requests: Request[];
  answer: Answer;
  /** A folder for files of the test. */
  folder: string;
  stop(): Promise<void>;
};

export async function startScriptedApi(): Promise<ScriptedApi> {
  const folder = mkdtempSync(join(tmpdir(), 'kube-'));
  const server = createServer(async (incoming, response) => {
    let body = '';
    for await (const chunk of incoming) body += chunk;
    const url = new URL(incoming.url ?? '', 'http://localhost');
    const request = { method: incoming.method ?? '', url, headers: incoming.headers, body };
    api.requests.push(request);
    api.answer(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const kubeconfigPath = join(folder, 'config.json');
  const cluster = { server: `http://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true };
  const tokenFile = join(folder, 'token');
  writeFileSync(tokenFile, 'one');
  const user = { 'auth-provider': { name: 'tokenFile', config: { tokenFile } } };
  writeFileSync(
    kubeconfigPath,
    JSON.stringify({
      clusters: [{ name: 'c', cluster }],
      users: [{ name: 'u', user }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    }),
  );
  const registry = new Registry();
  const kube = await connectKube(
    { kubeconfig: kubeconfigPath, serviceAccountPath: '' },
    { log: pino({ level: 'silent' }), registry },
  );
  const api: ScriptedApi = {
    kube,
    registry,
    requests: [],
    answer: () => undefined,
    folder,
    async stop() {
      kube.close();
      server.closeAllConnections();
      server.close();
      rmSync(folder, { recursive: true });
    },
  };
  return api;
}

export function reply(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
