import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { nextReport } from './calls.ts';
import { checkModule, filterBytes, filterTypes, Host } from './host.ts';

const root = new URL('../../', import.meta.url);

test('the module imports only what Envoy offers, with its signatures, and exports only callbacks', () => {
  checkModule(filterTypes);
  expect(filterTypes.exports.has('proxy_abi_version_0_2_1')).toBe(true);
});

test('a module that Envoy would refuse is refused', () => {
  const imports = (name: string, signature: string) => ({
    ...filterTypes,
    imports: new Map([[name, signature]]),
  });
  expect(() => checkModule(imports('env.proxy_clear_route_cache', '>i'))).toThrow('missing import');
  expect(() => checkModule(imports('env.proxy_log', 'ii>i'))).toThrow('env.proxy_log is ii>i');
  const exports = new Map([['proxy_on_tick', 'i>i']]);
  expect(() => checkModule({ ...filterTypes, exports })).toThrow('proxy_on_tick is i>i');
  expect(() => checkModule({ ...filterTypes, hasStart: true })).toThrow('start section');
});

test('memory cannot grow and the module stays small', () => {
  expect(filterTypes.memory.maximum).toBe(filterTypes.memory.minimum);
  expect(filterTypes.memory.minimum).toBeLessThanOrEqual(48);
  expect(filterBytes.length).toBeLessThan(24_000);
});

test('all literals fit into their space', () => {
  const folder = new URL('wasm-filter/', root);
  const sources = readdirSync(folder)
    .filter((f) => f.endsWith('.ts'))
    .map((f) => readFileSync(new URL(f, folder), 'utf8'));
  const literals = sources.flatMap((s) => [...s.matchAll(/ascii\('([^']*)'\)/g)]);
  const room = literals.reduce((sum, [, text = '']) => sum + ((text.length + 7) & ~3), 0);
  expect(literals.length).toBeGreaterThan(40);
  expect(room).toBeLessThanOrEqual(4096);
});

test('reports carry the version of the package', () => {
  const host = new Host();
  const version = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')).version;
  expect(nextReport(host, host.configure()).filterVersion).toBe(version);
});

test('a known destination costs two property lookups and no other host call', () => {
  const host = new Host();
  host.configure();
  host.counts.clear();
  const headers = { ':method': 'GET', ':authority': 'reviews:9080' };
  const stream = host.request({ 'xds\0cluster_name': 'outbound|9080||reviews' }, headers);
  expect(stream.paused).toBe(false);
  expect([...host.counts]).toEqual([['env.proxy_get_property', 2]]);
});

test('a million requests do not grow the memory', () => {
  const host = new Host();
  host.configure();
  const pages = host.memory.pages();
  const headers = { ':method': 'GET', ':authority': 'a' };
  for (let i = 0; i < 1_000_000; i++) {
    const cluster = `outbound|9080||service-${i % 5000}.app.svc.cluster.local`;
    host.close(host.request({ 'xds\0cluster_name': cluster }, headers));
  }
  expect(host.memory.pages()).toBe(pages);
});
