import { type ApiServer, startApiServer } from '../box/api/api-server.ts';
import { namespaceOf, type Population, populate, workloadName } from '../box/api/population.ts';
import { sentinelOf } from '../companion/core/scope/sentinel.ts';
import { sidecarOf } from '../companion/core/scope/sidecar.ts';
import type { BenchOptions } from './bench.ts';
import { createChurn } from './churn.ts';
import { destinationsOf, entryOf } from './edges.ts';
import { type Istiod, startIstiod } from './istiod-process.ts';
import { cpuSeconds, residentBytes } from './process.ts';
import { type Row, row } from './result.ts';
import { startXdsClients } from './xds-clients.ts';

const systemNamespace = 'lazyscope-system';
/** Share of all objects that change each second, as on a busy day. */
const churnShares = { endpoints: 0.01, services: 0.001 };

/** CPU and bytes of istiod for the same churn with full and with scoped proxies. */
export async function istiod({ quick, say }: BenchOptions): Promise<Row[]> {
  const population = quick ? { workloads: 50, services: 1000 } : { workloads: 200, services: 5000 };
  const seconds = quick ? 20 : 60;
  const api = await startApiServer(say);
  try {
    await populate(api, population);
    say('populated');
    const churn = createChurn(api, population, churnShares);
    const measure = async (subject: string) => {
      const process = await startIstiod(api, say);
      try {
        return await measureChurn(process, () => churn(seconds), population.workloads, say);
      } finally {
        say(`${subject}: measured`);
        await process.stop();
      }
    };
    const full = await measure('full configuration');
    await applyScopes(api, population);
    const scoped = await measure('scoped');
    return rowsOf(population, full, scoped);
  } finally {
    await api.stop();
  }
}

type Cost = {
  startBytes: number;
  bytes: number;
  cpu: number;
  pushSeconds: number;
  memory: number;
  seconds: number;
};

async function measureChurn(
  istiod: Istiod,
  change: () => Promise<void>,
  proxies: number,
  say: (line: string) => void,
): Promise<Cost> {
  const clients = await startXdsClients(istiod.xdsAddress, proxies, say);
  try {
    const start = await clients.untilQuiet();
    say(`${proxies} proxies have their configuration`);
    const before = await readFigures(istiod);
    const started = performance.now();
    await change();
    // The last change is pushed before this returns, so that slow pushes are counted too.
    const end = await clients.untilQuiet();
    const after = await readFigures(istiod);
    return {
      startBytes: start.bytes,
      bytes: end.bytes - start.bytes,
      cpu: after.cpu - before.cpu,
      pushSeconds: (after.pushSeconds - before.pushSeconds) / (after.pushes - before.pushes),
      memory: (await residentBytes(istiod.pid)).peak,
      seconds: (performance.now() - started) / 1000,
    };
  } finally {
    await clients.stop();
  }
}

async function readFigures({ pid, metric }: Istiod) {
  return {
    cpu: await cpuSeconds(pid),
    pushSeconds: await metric('pilot_proxy_convergence_time_sum'),
    pushes: await metric('pilot_proxy_convergence_time_count'),
  };
}

/** The sentinel, and the Sidecar that the controller would write for each workload. */
async function applyScopes(api: ApiServer, population: Population): Promise<void> {
  const group = '/apis/networking.istio.io/v1/namespaces';
  const sentinel = sentinelOf([80, 8080, 9080], systemNamespace);
  await api.call('POST', `${group}/${systemNamespace}/serviceentries`, sentinel);
  for (let index = 0; index < population.workloads; index++) {
    const name = workloadName(index);
    const namespace = namespaceOf(index);
    const workload = { namespace, name, owners: [name], selector: { app: name }, pods: [] };
    const owner = { name, uid: `played-${index}` };
    const hosts = [
      `${systemNamespace}/${sentinel.spec?.hosts[0]}`,
      ...destinationsOf(index, population.services).map((service) => entryOf(service, population)),
    ].sort();
    const sidecar = sidecarOf({ workload, owner, hosts, shadowed: undefined });
    await api.call('POST', `${group}/${namespace}/sidecars`, sidecar);
  }
}

function rowsOf({ workloads, services }: Population, full: Cost, scoped: Cost): Row[] {
  const subject = `${services} services, ${workloads} proxies`;
  const each = (name: string, cost: Cost) => [
    row(`${subject}, ${name}`, 'sent when the proxies connect', cost.startBytes / 1e6, 'MB'),
    row(`${subject}, ${name}`, 'sent for the churn', cost.bytes / 1e6, 'MB'),
    row(`${subject}, ${name}`, 'CPU of istiod for the churn', cost.cpu, 's'),
    row(`${subject}, ${name}`, 'from change to proxy, mean', cost.pushSeconds, 's'),
    row(`${subject}, ${name}`, 'until all of it was sent', cost.seconds, 's'),
    row(`${subject}, ${name}`, 'RSS of istiod, peak', cost.memory / 1e6, 'MB'),
  ];
  return [
    ...each('full', full),
    ...each('scoped', scoped),
    row(subject, 'sent, scoped / full', scoped.bytes / full.bytes, 'ratio', { atMost: 0.05 }),
    row(subject, 'CPU, scoped / full', scoped.cpu / full.cpu, 'ratio', { atMost: 0.3 }),
  ];
}
