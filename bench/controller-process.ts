import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiServer } from '../box/api/api-server.ts';
import { type CompanionProcess, startCompanionProcess } from '../box/api/companion-process.ts';
import { freePort } from '../box/api/free-port.ts';
import { repoDir } from '../box/paths.ts';

/** The controller as it is shipped, with a learning window of 0. */
export type Controller = CompanionProcess & { grpcPort: number };

export async function startController(
  api: ApiServer,
  podName = 'controller-0',
): Promise<Controller> {
  const grpcPort = await freePort();
  const started = await startCompanionProcess('controller', api, {
    'pod-name': podName,
    'grpc-port': String(grpcPort),
    'filter-port': String(await freePort()),
    'console-port': String(await freePort()),
    'wasm-path': join(repoDir, 'build', 'filter.wasm'),
    'learning-window-seconds': '0',
  });
  return { ...started, grpcPort };
}

export const writesOf = (controller: Controller) =>
  controller.metric('lazyscope_controller_writes_total');

export async function sidecars(api: ApiServer): Promise<number> {
  type List = { items: object[]; metadata: { remainingItemCount?: number } };
  const path = '/apis/networking.istio.io/v1/sidecars?limit=1';
  const { items, metadata } = await api.call<List>('GET', path);
  return items.length + (metadata.remainingItemCount ?? 0);
}

/** Returns when the controller leads and no workload waits; the metric changes once a second. */
export async function untilReconciled(controller: Controller): Promise<void> {
  while ((await controller.metric('lazyscope_controller_leader')) < 1) await sleep(50);
  await sleep(1000);
  while ((await controller.metric('lazyscope_controller_workloads_pending')) > 0) await sleep(50);
}
