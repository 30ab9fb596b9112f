import { createInterface } from 'node:readline';
import { pino } from 'pino';
import { startBypass } from '../../companion/bypass/bypass.ts';
import { bypassSettings } from '../../companion/frame/config.ts';
import { createLifecycle } from '../../companion/frame/lifecycle.ts';
import { createRegistry } from '../../companion/frame/metrics.ts';
import { readSettings } from '../../companion/frame/settings.ts';
import type { KubeObject, WatchHandler } from '../../companion/kube/object.ts';

// The role `bypass` with pipes instead of an API server: each line of the input is an object, and
// each line of the output is a write. It is a separate process, because the self-test concerns the
// cgroup of its process.

const log = pino({ level: 'silent' });
const lifecycle = createLifecycle({ log, deadlineMs: 10_000 });
const registry = createRegistry('0', 'bypass');
const handlers = new Map<string, WatchHandler>();
const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);

const config = readSettings(bypassSettings, {}, process.argv.slice(2));
startBypass(
  config,
  { log, lifecycle, registry, debug: new Map() },
  {
    watch({ plural }, handler) {
      handlers.set(plural, handler);
      return { synced: Promise.resolve(), stop() {} };
    },
    async apply(object) {
      say({ applied: object });
      return object;
    },
    async create(object) {
      say({ created: object });
      return object;
    },
  },
);

createInterface({ input: process.stdin })
  .on('line', async (line) => {
    if (line === 'metrics') return say({ metrics: await registry.metrics() });
    const object = JSON.parse(line) as KubeObject;
    handlers.get(object.kind === 'Node' ? 'nodes' : 'pods')?.upsert(object);
  })
  .on('close', async () => {
    await lifecycle.stop('end of input');
    process.exit(0);
  });
