import { Registry } from 'prom-client';
import { startConsole } from '../companion/controller/console/server.ts';
import { createControllerMetrics } from '../companion/controller/metrics.ts';
import { createHistory } from '../companion/core/history/history.ts';
import { playAtScale } from '../demo/played/scale.ts';

/**
 * A process with what the page costs a controller: a history that is full in every bin of 14 days,
 * its scopes and its server, and nothing else. Prints its port.
 * `node --import tsx bench/console-server.ts PAGE WORKLOADS PAIRS`
 */

const [pagePath = '', workloads = '1000', pairs = '20000'] = process.argv.slice(2);
const [minute, hour, day] = [60_000, 3_600_000, 86_400_000];

const now = Date.now();
const begins = now - 14 * day;
/** A moment in every bin that is kept, so that no page of the memory stays untouched. */
const moments = [
  ...every(hour, begins, now - day),
  ...every(5 * minute, now - day, now - hour),
  ...every(10_000, now - hour, now),
  now,
];
function every(step: number, from: number, to: number): number[] {
  return Array.from({ length: Math.ceil((to - from) / step) }, (_, n) => from + n * step);
}

const history = createHistory(begins);
const size = {
  ...{ workloads: Number(workloads), namespaces: 40 },
  callsOfEach: Math.floor(Number(pairs) / Number(workloads)),
};
const scopes = playAtScale(history, size, moments);
for (const { namespace, name, status } of scopes.values()) {
  const means = { memoryBytes: status?.memory?.afterBytes ?? 0, clusters: 20 };
  for (const at of moments) history.figures.set(`${namespace}/${name}`, at, means);
}
const page = await startConsole({
  known: { scopes, history, now: () => Date.now() },
  metrics: createControllerMetrics(new Registry()),
  access: async () => ({ all: true, namespaces: new Set() }),
  ...{ pagePath, host: '127.0.0.1', port: 0 },
});
const address = page.server.address();
console.log(`port ${typeof address === 'object' ? address?.port : 0}`);
