import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startFilterServer } from '../../../../companion/controller/filter-server.ts';
import { createControllerMetrics } from '../../../../companion/controller/metrics.ts';

const digestOf = (text: string) => createHash('sha256').update(text).digest('hex');
let folder: string;
let registry: Registry;
let lines: { msg: string; sha256?: string; remedy?: string }[];
let server: FastifyInstance | undefined;
let digests: string[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lazyscope-filters-'));
  registry = new Registry();
  lines = [];
  await writeFile(join(folder, 'filter.wasm'), 'this one');
});
afterEach(async () => {
  await server?.close();
  server = undefined;
  await rm(folder, { recursive: true });
});

async function start(): Promise<(path: string) => Promise<Response>> {
  const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const config = {
    wasmPath: join(folder, 'filter.wasm'),
    previousFiltersPath: join(folder, 'previous'),
    filterPort: 0,
  };
  const metrics = createControllerMetrics(registry);
  ({ server, digests } = await startFilterServer(config, { log, metrics }));
  const { port } = server.server.address() as AddressInfo;
  return (path) => fetch(`http://127.0.0.1:${port}${path}`);
}

async function writePrevious(files: Record<string, string | Buffer>): Promise<void> {
  await mkdir(join(folder, 'previous'));
  for (const [name, bytes] of Object.entries(files))
    await writeFile(join(folder, 'previous', name), bytes);
}

async function counted(): Promise<Record<string, number>> {
  const metric = await registry
    .getSingleMetric('lazyscope_controller_filter_requests_total')
    ?.get();
  return Object.fromEntries(
    metric?.values.map(({ labels, value }) => [labels.release, value]) ?? [],
  );
}

test('the filter is served by its digest, and the digest by itself', async () => {
  const get = await start();
  const response = await get(`/filters/${digestOf('this one')}/filter.wasm`);
  expect(response.headers.get('content-type')).toBe('application/wasm');
  expect(await response.text()).toBe('this one');
  expect(await (await get('/filter.wasm.sha256')).text()).toBe(`${digestOf('this one')}\n`);
  expect(await counted()).toEqual({ this: 1, previous: 0, unknown: 0 });
});

test('the server serves filters of earlier releases, and nothing else of their folder', async () => {
  await writePrevious({ 'a.wasm': 'the one before', 'README.md': 'words' });
  const get = await start();
  const before = await get(`/filters/${digestOf('the one before')}/filter.wasm`);
  expect(await before.text()).toBe('the one before');
  expect(digests).toEqual(['this one', 'the one before'].map(digestOf));
  expect((await get(`/filters/${digestOf('words')}/filter.wasm`)).status).toBe(404);
  expect(await counted()).toEqual({ this: 0, previous: 1, unknown: 1 });
});

test('an unknown digest is answered with the digest to pin, and logged once', async () => {
  const get = await start();
  const zeros = '0'.repeat(64);
  for (let i = 0; i < 3; i++) {
    const response = await get(`/filters/${zeros}/filter.wasm`);
    expect([response.status, await response.text()]).toEqual([
      404,
      `this controller has no filter with digest ${zeros}; pin ${digestOf('this one')} in the namespace\n`,
    ]);
  }
  expect(await counted()).toMatchObject({ unknown: 3 });
  const told = lines.filter(({ msg }) => msg === 'unknown filter requested');
  expect(told.map(({ sha256 }) => sha256)).toEqual([zeros]);
});

test('the same filter in both places is the one of this release', async () => {
  await writePrevious({ 'same.wasm': 'this one' });
  const get = await start();
  await get(`/filters/${digestOf('this one')}/filter.wasm`);
  expect(await counted()).toEqual({ this: 1, previous: 0, unknown: 0 });
});

test('a missing filter is reported with the setting and the remedy', async () => {
  await rm(join(folder, 'filter.wasm'));
  await expect(start()).rejects.toThrow(
    /^LAZYSCOPE_WASM_PATH=.*filter\.wasm.*: .*; build the filter/,
  );
});

test('filters beyond the bounds of number and size are refused by name', async () => {
  await writePrevious({ 'large.wasm': Buffer.alloc((1 << 20) + 1) });
  await expect(start()).rejects.toThrow(/previous.large\.wasm": has more than 1048576 bytes/);
  await rm(join(folder, 'previous'), { recursive: true });
  registry.clear();
  const names = Array.from({ length: 9 }, (_, i) => [`${i}.wasm`, `number ${i}`]);
  await writePrevious(Object.fromEntries(names));
  await expect(start()).rejects.toThrow(
    /^LAZYSCOPE_PREVIOUS_FILTERS_PATH=.*: has 9 filters, and at most 8 .*; remove the filters that no namespace pins$/,
  );
});
