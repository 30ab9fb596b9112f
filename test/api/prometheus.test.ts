import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { commandLine, objectCluster } from '../unit/command/host.ts';
import { shopObjects } from '../unit/command/shop.ts';
import { type PrometheusServer, startPrometheus } from './prometheus-server.ts';

// Recommendations from a real Prometheus, whose storage has the metrics of four days.

// Building Prometheus takes minutes if the cache is empty.
vi.setConfig({ hookTimeout: 600_000 });

const now = Math.floor(Date.now() / 1000);
const [hour, day] = [3_600, 86_400];
let folder: string;
let server: PrometheusServer | undefined;
let url: string;

type Series = { name: string; from: string; to: string; pod?: string; reporter?: string };

const host = (name: string) => `${name}.svc.cluster.local`;

/** Samples of a counter as OpenMetrics, one every four minutes. */
function samplesOf(
  { name, from, to, pod = 'a', reporter = 'source' }: Series,
  { start, end, value }: { start: number; end: number; value(seconds: number): number },
): string {
  const [namespace, workload] = from.split('/');
  const labels = `reporter="${reporter}",source_workload_namespace="${namespace}",source_workload="${workload}",destination_service="${to}",pod="${pod}"`;
  const lines: string[] = [];
  for (let at = start; at <= end; at += 240)
    lines.push(`${name}{${labels}} ${value(at - start)} ${at}`);
  return lines.join('\n');
}

const requests = (from: string, to: string, more: Partial<Series> = {}): Series => ({
  ...{ name: 'istio_requests_total', from, to },
  ...more,
});

beforeAll(async () => {
  const fourDays = { start: now - 4 * day, end: now };
  const steady = (seconds: number) => 5 + seconds / 120;
  const web = (to: string, more: Partial<Series> = {}) => requests('shop/web', to, more);
  const http = [
    samplesOf(web(host('cart.shop')), { ...fourDays, value: steady }),
    samplesOf(web(host('cart.shop'), { reporter: 'destination' }), { ...fourDays, value: steady }),
    // One call, three hours ago: the counter appears with 1 and stays.
    samplesOf(web(host('payments.shop')), { start: now - 3 * hour, end: now, value: () => 1 }),
    // A call of a pod that is gone.
    samplesOf(web(host('legacy.plain'), { pod: 'gone' }), {
      ...{ start: now - 30 * hour, end: now - 29 * hour, value: () => 2 },
    }),
    // Not called in the last two days.
    samplesOf(web(host('web.shop')), { ...fourDays, value: () => 7 }),
    samplesOf(web('unknown'), { ...fourDays, value: steady }),
    samplesOf(web('old.example.com'), { ...fourDays, value: steady }),
    samplesOf(requests('billing/invoices', host('cart.shop')), { ...fourDays, value: steady }),
  ];
  // Opened before the range and still in use.
  const db = { name: 'istio_tcp_sent_bytes_total', from: 'shop/web', to: host('db.shop') };
  server = await startPrometheus([
    '# TYPE istio_requests counter',
    ...http,
    '# TYPE istio_tcp_sent_bytes counter',
    samplesOf(db, { ...fourDays, value: (seconds) => seconds * 10 }),
  ]);
  ({ url, folder } = server);
});
afterAll(() => server?.stop());

const cluster = () => objectCluster(shopObjects(), { namespace: 'shop' });
const recommend = (line: string, address = url) =>
  commandLine(`recommend --prometheus ${address} ${line}`, cluster(), now * 1000);

test('each destination is found with its source, its calls and its last call', async () => {
  const { code, out, err } = await recommend('--range 2d');
  expect(code).toBe(0);
  const comments = Object.fromEntries(
    [...out.matchAll(/- (\S+) # (.*)/g)].map(([, entry = '', comment]) => [entry, comment]),
  );
  expect(comments).toEqual({
    'plain/legacy.plain.svc.cluster.local': expect.stringMatching(/^metrics: 2 calls, last 20/),
    'shop/api.bank.example': expect.stringMatching(/^eager: /),
    'shop/cart.shop.svc.cluster.local': expect.stringMatching(/^metrics: 14\d\d calls, last 20/),
    'shop/db.shop.svc.cluster.local': expect.stringMatching(/^metrics: an open connection, last/),
    'shop/payments.shop.svc.cluster.local': expect.stringMatching(/^metrics: 1 call, last 20/),
  });
  expect(out).toMatch(
    /^# Workload shop\/web, recommended by metrics from .*Confidence: (medium|high)/,
  );
  expect(out).toContain('Metrics do not have: calls outside of that window');
  expect(out).toContain('Left out, because no object of the cluster has them: old.example.com.');
  expect(err).toMatch(/^Prometheus has 1 caller with 5 destinations, and 14\d\d calls to hosts/);
});

test('the last call is known to a step', async () => {
  const { out } = await recommend('--range 2d -o json');
  const [{ yaml }] = JSON.parse(out).recommendations;
  const [, last = ''] = /payments\S+ # metrics: 1 call, last (\S+)/.exec(yaml) ?? [];
  const late = Date.parse(last) / 1000 - (now - 3 * hour);
  expect(late).toBeGreaterThanOrEqual(0);
  expect(late).toBeLessThanOrEqual(36 * 60);
});

test('a range is respected, and so are a namespace and matchers', async () => {
  const { out } = await recommend('--range 2h');
  expect(out).toContain('cart.shop');
  expect(out).not.toContain('payments.shop.svc.cluster.local # metrics');
  const { err: all } = await recommend('-A --range 2d');
  expect(all).toContain('no workload of the cluster with a sidecar: billing/invoices');
  const none = await recommend('--prometheus-match pod="another"');
  expect(none.code).toBe(65);
  expect(none.err).toContain('no call of a workload is in Prometheus');
});

test('logs and metrics together say of each host where it was seen', async () => {
  const file = join(folder, 'access.log');
  const line =
    '[2026-11-28T10:00:00.000Z] "GET / HTTP/1.1" 200 - via_upstream - "-" 0 1 1 1 "-" "-" "-" "cart" "10.0.0.1:80" outbound|80||cart.shop.svc.cluster.local 10.0.0.2:1 10.96.0.2:80 10.0.0.2:2 - default';
  await writeFile(file, `${line}\n`);
  const { out } = await commandLine(
    `recommend ${file} --workload web --prometheus ${url} --range 2d --learned`,
    cluster(),
    now * 1000,
  );
  expect(out).toMatch(
    /cart\S+ # logged: 1 call, last 2026-11-28T10:00:00Z; metrics: 14\d\d calls, last \S+; learned: since 2026-11-20T08:30:00Z/,
  );
  expect(out).toContain('recommended by logs from');
});

test('a second run leaves files alone whose Sidecars are the same', async () => {
  const write = (range: string) => recommend(`--range ${range} --write ${folder}/out`);
  expect((await write('2d')).out).toBe(`wrote ${folder}/out/shop/web.yaml\n`);
  const before = await readFile(join(folder, 'out/shop/web.yaml'), 'utf8');
  expect((await write('3d')).out).toBe(`same ${folder}/out/shop/web.yaml\n`);
  expect(await readFile(join(folder, 'out/shop/web.yaml'), 'utf8')).toBe(before);
  expect((await write('2h')).out).toBe(`wrote ${folder}/out/shop/web.yaml\n`);
});

test('Prometheus is also reached through the API server, and errors name it', async () => {
  const fetched = (path: string) => {
    throw new Error(`asked for ${path.slice(0, 20)}`);
  };
  const behind = objectCluster(shopObjects(), {
    namespace: 'shop',
    answers: { 'services/monitoring/prometheus:9090/api/v1/query': fetched },
  });
  const { err } = await commandLine('recommend --prometheus monitoring/prometheus:9090', behind);
  expect(err).toContain('asked for /api/v1/query?query=');
  const wrong = await recommend('--prometheus-match pod=');
  expect(wrong.code).toBe(65);
  expect(wrong.err).toContain('bad_data');
});

test('a token is sent, and a Prometheus that wants one says so', async () => {
  const guard = createServer(async (request, response) => {
    if (request.headers.authorization !== 'Bearer secret') {
      response.writeHead(401).end('who are you?');
      return;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const answer = await fetch(`${url}${request.url}`, { method: 'POST', headers, body });
    response.end(await answer.text());
  });
  guard.listen(0, '127.0.0.1');
  await once(guard, 'listening');
  const address = `http://127.0.0.1:${(guard.address() as AddressInfo).port}`;
  await writeFile(join(folder, 'token'), 'secret\n');
  const refused = await recommend('--range 2d', address);
  expect(refused.code).toBe(1);
  expect(refused.err).toContain('it answered 401\nremedy: give a token');
  expect((await recommend(`--prometheus-token ${folder}/token --range 2d`, address)).code).toBe(0);
  guard.close();
  const gone = await recommend('--range 2d', address);
  expect(gone.err).toMatch(/no answer: .*ECONNREFUSED/);
});
