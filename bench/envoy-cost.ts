import type { Json } from '../box/envoy/bootstrap.ts';
import type { Envoy } from '../box/envoy/envoy.ts';
import { cpuSeconds } from './process.ts';
import { type LoadOptions, loadOf } from './upstream.ts';

/** CPU microseconds of the proxy for each request of a steady load to its listener `http`. */
export async function costOf(proxy: Envoy, app: string, load: LoadOptions): Promise<number> {
  const url = `http://127.0.0.1:${proxy.port('http')}/healthz`;
  const before = await cpuSeconds(proxy.pid);
  const { sent, failed } = await loadOf(app, url, load);
  const used = (await cpuSeconds(proxy.pid)) - before;
  if (failed > 0) throw new Error(`${failed} of ${sent} requests to ${load.host} failed`);
  return (used / sent) * 1e6;
}

/** A copy without the elements of that name in any list. */
export function without(value: Json, name: string): Json {
  return JSON.parse(JSON.stringify(value), (_key, each) =>
    Array.isArray(each) ? each.filter((element) => element?.name !== name) : each,
  );
}
