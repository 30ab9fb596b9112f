import { Registry } from 'prom-client';
import { startConsole } from '../companion/controller/console/server.ts';
import { createControllerMetrics } from '../companion/controller/metrics.ts';
import { createHistory } from '../companion/core/history/history.ts';
import { playAtScale } from '../demo/played/scale.ts';

/**
 * A process with what the page costs a controller: its history, its scopes and its server, and
 * nothing else. Prints its port. `node --import tsx bench/console-server.ts PAGE WORKLOADS PAIRS`
 */

const [pagePath = '', workloads = '1000', pairs = '20000'] = process.argv.slice(2);
const minute = 60_000;

const now = Date.now();
const history = createHistory(now - 60 * minute);
const size = {
  ...{ workloads: Number(workloads), namespaces: 40 },
  callsOfEach: Math.floor(Number(pairs) / Number(workloads)),
};
const moments = Array.from({ length: 12 }, (_, n) => now - (60 - 5 * n) * minute).concat(now);
const scopes = playAtScale(history, size, moments);
for (const { namespace, name, status } of scopes.values()) {
  const means = { memoryBytes: status?.memory?.afterBytes ?? 0, clusters: 20 };
  history.figures.set(`${namespace}/${name}`, now, means);
}
const page = await startConsole({
  known: { scopes, history, now: () => Date.now() },
  metrics: createControllerMetrics(new Registry()),
  access: async () => ({ all: true, namespaces: new Set() }),
  ...{ pagePath, host: '127.0.0.1', port: 0 },
});
const address = page.server.address();
console.log(`port ${typeof address === 'object' ? address?.port : 0}`);
