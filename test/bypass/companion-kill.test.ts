import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { leftovers } from '../../box/bypass/leftovers.ts';
import { type Sidecars, startSidecars } from '../../box/bypass/sidecars.ts';
import { type Load, startLoad, startServer } from './exchange.ts';
import { nodeObject, podObject, useNodeAgent } from './node-agent.ts';

// The companion with its loader, and calls through two real sidecars with mutual TLS, as on a node.

const agent = useNodeAgent();
let sidecars: Sidecars;

const load = (options: Load) => startLoad(sidecars, options).result;

beforeEach(async () => {
  sidecars = await startSidecars(agent.pod);
  startServer(sidecars);
  agent.start();
  agent.tell(nodeObject({ 'lazyscope.io/bypass': 'enabled' }));
  agent.tell(podObject);
  await agent.state(/^active/);
  // This load makes containers and listeners known. The bypass takes in the connections after it.
  while ((await load({ bytesMax: 10, seconds: 0.3, churn: true })).failed > 0) await sleep(100);
  await Promise.all([sidecars.client, sidecars.server].map(sidecars.restartEnvoy));
});
afterEach(() => sidecars.stop());

/** Redirected bytes, read after a new round of figures. */
async function redirectedBytes(hop: 'inbound' | 'outbound'): Promise<number> {
  agent.tell({ ...podObject, metadata: { ...podObject.metadata, labels: { another: 'round' } } });
  await sleep(500);
  const line = new RegExp(`bypass_bytes_total\\{hop="${hop}",path="socket"\\} (\\d+)`);
  return Number(line.exec(await agent.metrics())?.[1]);
}

/**
 * The longest time in milliseconds until a loader without its companion has exited. The loader has
 * to do one write only.
 */
const offMs = 10_000;

test('a companion that is killed under load fails no request, and leaves nothing behind', async () => {
  const { stop } = startLoad(sidecars, { bytesMax: 1 << 20, churn: true });
  while ((await redirectedBytes('inbound')) < 1 << 20);

  const loader = agent.loaderPid();
  process.kill(agent.pid, 'SIGKILL');
  await agent.ended();
  // At the end of its input the loader switches off and exits.
  for (let waited = 0; existsSync(`/proc/${loader}`); waited += 20) {
    expect(waited).toBeLessThan(offMs);
    await sleep(20);
  }
  expect(await stop()).toMatchObject({ failed: 0, different: 0, errors: {} });
  // Connections in the map keep the programs loaded. The programs go with the last connection.
  await Promise.all([sidecars.client, sidecars.server].map(sidecars.restartEnvoy));
  expect(await leftovers()).toEqual([]);
  expect(await load({ bytesMax: 1 << 20, seconds: 1 })).toMatchObject({ failed: 0, different: 0 });
});

test('a companion that restarts after a kill takes in connections again', async () => {
  process.kill(agent.pid, 'SIGKILL');
  await agent.ended();
  agent.lines.length = 0;
  const meanwhile = startLoad(sidecars, { bytesMax: 64 << 10, churn: true });
  agent.start();
  agent.tell(nodeObject({ 'lazyscope.io/bypass': 'enabled' }));
  agent.tell(podObject);
  await agent.state(/^active/);
  // The connections between the sidecars are older and stay. The connections of the application are
  // new.
  const after = startLoad(sidecars, { bytesMax: 64 << 10, churn: true });
  const before = await redirectedBytes('outbound');
  while ((await redirectedBytes('outbound')) < before + (1 << 20));
  for (const { failed, different } of await Promise.all([meanwhile.stop(), after.stop()]))
    expect({ failed, different }).toEqual({ failed: 0, different: 0 });
});
