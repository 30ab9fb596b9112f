import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ApiServer, startApiServer } from '../../box/api/api-server.ts';
import { type CompanionProcess, startCompanionProcess } from '../../box/api/companion-process.ts';
import { freePort } from '../../box/api/free-port.ts';
import { waitFor } from '../../box/mesh.ts';
import { repoDir } from '../../box/paths.ts';
import { clusterEntry, reportBody } from '../../box/played/report-body.ts';

// A full disk cannot harm a process that writes no file. Here Node.js itself denies every write to
// a file.
const permission = ['--permission', '--experimental-permission'].find((flag) =>
  process.allowedNodeEnvironmentFlags.has(flag),
);
const noWrites = [String(permission), '--allow-fs-read=*'];
const address = '127.0.1.1';

let api: ApiServer;
const started: CompanionProcess[] = [];

beforeAll(async () => {
  api = await startApiServer(console.error);
  await api.applyBase();
  const labels = { 'lazyscope.io/mode': 'observe' };
  await api.call('POST', '/api/v1/namespaces', { metadata: { name: 'shop', labels } });
  const path = '/api/v1/namespaces/shop/pods';
  const containers = ['app', 'istio-proxy'].map((name) => ({ name, image: 'none' }));
  const spec = { nodeName: 'node-1', containers };
  await api.call('POST', path, { metadata: { name: 'web' }, spec });
  const status = { phase: 'Running', podIP: address, podIPs: [{ ip: address }] };
  await api.call('PATCH', `${path}/web/status`, { status });
});
afterAll(async () => {
  for (const process of started) await process.stop();
  await api?.stop();
});

async function startWithoutWrites(role: 'node' | 'controller', settings: Record<string, string>) {
  const process = await startCompanionProcess(role, api, settings, noWrites);
  started.push(process);
  return process;
}

test('a refused write fails in the process that writes', async () => {
  const script = "require('node:fs').writeFileSync('/dev/null', '')";
  const run = promisify(execFile)(process.execPath, [...noWrites, '-e', script]);
  await expect(run).rejects.toThrow('ERR_ACCESS_DENIED');
});

test('a controller that may write to no file starts, leads and serves the filter', async () => {
  const filterPort = await freePort();
  const controller = await startWithoutWrites('controller', {
    'pod-name': 'controller-0',
    'grpc-port': String(await freePort()),
    'filter-port': String(filterPort),
    'console-port': String(await freePort()),
    'wasm-path': join(repoDir, 'build', 'filter.wasm'),
  });
  await waitFor('the lease', async () => {
    return (await controller.metric('lazyscope_controller_leader')) === 1;
  });
  expect((await fetch(`http://127.0.0.1:${filterPort}/filter.wasm.sha256`)).status).toBe(200);
  expect(controller.log()).not.toContain('ERR_ACCESS_DENIED');
});

test('a node companion that may write to no file accepts reports and answers questions', async () => {
  const port = await freePort();
  const node = await startWithoutWrites('node', {
    port: String(port),
    'node-name': 'node-1',
    'scrape-seconds': '1',
    'token-path': join(api.account, 'token'),
    'controller-service': 'localhost',
    'controller-grpc-port': String(await freePort()),
  });
  const pod = new Client(`http://127.0.0.1:${port}`, { localAddress: address });
  const send = async (path: string, more: object) => {
    const { statusCode, body } = await pod.request({ method: 'GET', path, ...more });
    await body.dump();
    return statusCode;
  };
  await waitFor('the pod to be served', async () => {
    const body = reportBody(7n, 1, [clusterEntry('outbound|80||a.shop.svc.cluster.local', 1n)]);
    const headers = { 'content-type': 'application/octet-stream' };
    return (await send('/v1/report', { method: 'POST', headers, body })) === 204;
  });
  expect(await send('/held', { headers: { host: 'a' } })).toBe(307);
  await waitFor('a reading of the proxy', async () => {
    return (await node.metric('lazyscope_node_scrapes_total')) > 0;
  });
  await pod.close();
  expect(node.log()).not.toContain('ERR_ACCESS_DENIED');
});
