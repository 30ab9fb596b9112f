import { setTimeout as sleep } from 'node:timers/promises';
import { serviceObject, target, untilImported, urlOf } from '../box/fleet.ts';
import { load } from '../box/load.ts';
import type { Mesh, PodRef } from '../box/mesh.ts';
import { enableNamespace } from '../box/product.ts';
import { namespaceObject, shopWorkloads, workload } from '../box/shop.ts';
import type { BenchOptions } from './bench.ts';
import {
  clustersOf,
  newNamespace,
  type Observer,
  observer,
  onMesh,
  removeNamespaces,
  setServices,
} from './cluster.ts';
import { type Aim, type Row, row } from './result.ts';

const [serverName, callerName] = shopWorkloads;
/** Above what a scope without destinations holds, far below any full configuration. */
const scopedClustersMax = 100;
const enableSecondsMax = 300;
/** How long idle consumption is measured, and how long istiod may still work after a change. */
const idleMs = 20_000;
const settleMs = 5_000;
/** Pause between two new destinations: the scope of each is written and pushed on its own. */
const learnEveryMs = 2_000;

/** Enables and enforces a namespace of eight workloads, which then use destinations one by one. */
export async function enable(options: BenchOptions): Promise<Row[]> {
  const { quick, say } = options;
  const destinations = quick ? 5 : 20;
  return onMesh(options, async (mesh) => {
    const rows: Row[] = [];
    for (const services of quick ? [1000] : [1000, 5000]) {
      await setServices(mesh, services);
      const namespace = newNamespace('enable');
      try {
        rows.push(...(await atSize(mesh, namespace, services, destinations)));
      } finally {
        await removeNamespaces(mesh, namespace);
      }
      say(`${services} services done`);
    }
    return rows;
  });
}

async function atSize(
  mesh: Mesh,
  namespace: string,
  services: number,
  destinations: number,
): Promise<Row[]> {
  const pods = await install(mesh, namespace, destinations);
  const look = await observer(mesh);
  await mesh.waitFor(
    'full configuration',
    async () => {
      const clusters = await look.clusters(pods);
      return Math.min(...clusters) >= clustersOf(services);
    },
    300,
  );
  await sleep(settleMs);
  const idle = await idleCores(look);
  const enabled = await enableAll(mesh, namespace, look, pods, idle);
  const learned = await learn(mesh, namespace, look, destinations, idle);

  const subject = `${services} services, ${pods.length} workloads`;
  // The aims of enabling are stated for 1,000 services.
  const at1000 = (aim: Aim) => (services === 1000 ? aim : undefined);
  return [
    row(subject, 'until every proxy is scoped', enabled.seconds, 's', at1000({ atMost: 5 })),
    row(subject, 'istiod CPU for it', enabled.istiodCpu, 's', at1000({ atMost: 2 })),
    row(subject, 'bytes pushed for it', enabled.bytes / 1e6, 'MB'),
    row(subject, 'istiod CPU per learned host', learned.istiodCpu, 's', { atMost: 0.05 }),
    row(subject, 'bytes pushed per learned host', learned.bytes / 1e3, 'kB'),
    row(subject, 'istiod CPU, idle', idle, 'cores'),
  ];
}

async function install(mesh: Mesh, namespace: string, destinations: number): Promise<PodRef[]> {
  const selector = { app: serverName };
  await mesh.apply([
    namespaceObject(namespace),
    ...shopWorkloads.flatMap((name) => workload(namespace, name)),
    ...Array.from({ length: destinations }, (_, i) =>
      serviceObject(namespace, target(i), { selector }),
    ),
  ]);
  await mesh.rollout(namespace);
  return Promise.all(shopWorkloads.map((name) => mesh.pod(namespace, `app=${name}`)));
}

const cpuOf = (look: Observer) => look.istiod('process_cpu_seconds_total');

async function idleCores(look: Observer): Promise<number> {
  const [before, started] = [await cpuOf(look), performance.now()];
  await sleep(idleMs);
  return (((await cpuOf(look)) - before) * 1000) / (performance.now() - started);
}

/**
 * The cost of a change to istiod above its idle consumption, and the bytes of configuration that
 * istiod sent.
 */
async function costOf(
  look: Observer,
  idle: number,
  change: () => Promise<void>,
): Promise<{ seconds: number; istiodCpu: number; bytes: number }> {
  const pushed = () => look.istiod('pilot_xds_config_size_bytes_sum');
  const [bytes, cpu, started] = [await pushed(), await cpuOf(look), performance.now()];
  await change();
  const seconds = (performance.now() - started) / 1000;
  await sleep(settleMs);
  const elapsed = (performance.now() - started) / 1000;
  return {
    seconds,
    istiodCpu: (await cpuOf(look)) - cpu - idle * elapsed,
    bytes: (await pushed()) - bytes,
  };
}

/** From the first byte of the command that a user gives. */
function enableAll(mesh: Mesh, namespace: string, look: Observer, pods: PodRef[], idle: number) {
  return costOf(look, idle, async () => {
    await enableNamespace(mesh, namespace, 'enforce');
    await mesh.waitFor(
      'every proxy to be scoped',
      async () => Math.max(...(await look.clusters(pods))) < scopedClustersMax,
      enableSecondsMax,
    );
  });
}

async function learn(
  mesh: Mesh,
  namespace: string,
  look: Observer,
  destinations: number,
  idle: number,
) {
  const caller = await mesh.pod(namespace, `app=${callerName}`);
  const cost = await costOf(look, idle, async () => {
    const targets = [...Array(destinations).keys()];
    const rps = 1000 / learnEveryMs;
    const seconds = (destinations - 0.5) / rps;
    const { failed } = await load(mesh, caller, targets.map(urlOf), {
      rps,
      seconds,
      more: ['--connections', '1'],
    });
    if (failed > 0) throw new Error(`${failed} of ${destinations} first calls failed`);
    await untilImported(mesh, namespace, callerName, targets);
  });
  return { istiodCpu: cost.istiodCpu / destinations, bytes: cost.bytes / destinations };
}
