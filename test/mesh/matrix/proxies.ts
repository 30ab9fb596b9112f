import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Mesh } from '../../../box/mesh.ts';
import type { ConfigDump } from '../../../companion/core/oracle/config-dump.ts';
import { danglingClusters } from '../../../companion/core/oracle/dangling.ts';
import { compareNarrowed, textOf } from '../../../companion/core/oracle/narrowing.ts';

/** One pod of a workload; `labels` where `app` is not the name of the workload. */
export type ProxyRef = { namespace: string; name: string; labels?: string };

export const proxyLabel = ({ namespace, name }: ProxyRef) => `${namespace}/${name}`;

/** The configuration of proxies before they were narrowed. */
export type Kept = {
  read(proxy: ProxyRef): Promise<ConfigDump>;
  forget(): Promise<void>;
};

async function dumpText(mesh: Mesh, { namespace, name, labels }: ProxyRef): Promise<string> {
  const pod = await mesh.pod(namespace, labels ?? `app=${name}`);
  return mesh.admin(pod, '/config_dump');
}

/**
 * Waits until istiod has learned nothing and has pushed nothing for a while, and these proxies have
 * accepted nothing. On a busy machine seconds pass between what istiod learns and its push.
 */
export async function untilQuiet(mesh: Mesh, proxies: readonly ProxyRef[]): Promise<void> {
  let before = '';
  await mesh.waitFor('the end of pushes', async () => {
    const versions = await Promise.all(proxies.map((proxy) => versionsOf(mesh, proxy)));
    const now = [...versions, await workOfIstiod(mesh)].join();
    const isQuiet = before === now;
    before = now;
    if (!isQuiet) await sleep(quietMs);
    return isQuiet;
  });
}

/** Longer than istiod collects changes for one push. */
const quietMs = 3_000;

/** What istiod has learned and pushed since its start, by its own metrics. */
async function workOfIstiod(mesh: Mesh): Promise<string> {
  const istiod = await mesh.pod('istio-system', 'app=istiod');
  const metrics = await mesh.admin(istiod, '/metrics', 15014);
  const lines = metrics.split('\n').filter((line) => work.test(line));
  if (lines.length === 0) throw new Error('istiod counts neither changes nor pushes');
  return lines.sort().join();
}

const work = /^(pilot_inbound_updates|pilot_push_triggers|pilot_xds_pushes)\b/;

async function versionsOf(mesh: Mesh, { namespace, name, labels }: ProxyRef): Promise<string> {
  const pod = await mesh.pod(namespace, labels ?? `app=${name}`);
  return mesh.admin(pod, '/stats?filter=(cds|lds|rds.*).version_text');
}

/** In files, because each is tens of megabytes in memory. */
export async function keepFull(mesh: Mesh, proxies: readonly ProxyRef[]): Promise<Kept> {
  await untilQuiet(mesh, proxies);
  const folder = await mkdtemp(join(tmpdir(), 'lazyscope-dumps-'));
  const fileOf = (proxy: ProxyRef) => join(folder, `${proxyLabel(proxy).replace('/', '.')}.json`);
  for (const proxy of proxies) await writeFile(fileOf(proxy), await dumpText(mesh, proxy));
  return {
    read: async (proxy) => JSON.parse(await readFile(fileOf(proxy), 'utf8')),
    forget: () => rm(folder, { recursive: true }),
  };
}

/**
 * What either oracle says of a proxy that is narrowed, a line each, once istiod has sent it all
 * that its scope has.
 */
export async function lossesOf(mesh: Mesh, proxy: ProxyRef, kept: Kept): Promise<string[]> {
  const full = await kept.read(proxy);
  let losses: string[] = [];
  await mesh
    .waitFor(
      `the configuration of ${proxyLabel(proxy)}`,
      async () => {
        losses = await lossesNow(mesh, proxy, full);
        return losses.length === 0;
      },
      pushSeconds,
    )
    .catch((error: Error) => {
      if (losses.length === 0) throw error;
    });
  return losses;
}

/** More than a push takes on a busy machine. */
const pushSeconds = 30;

async function lossesNow(mesh: Mesh, proxy: ProxyRef, full: ConfigDump): Promise<string[]> {
  const { namespace, name } = proxy;
  const { spec } = await mesh.get(['sidecar', `lazyscope-${name}`, '-n', namespace]);
  // A listener with a port has hosts for itself, which are not imported elsewhere.
  const entries = (spec.egress as Egress[]).flatMap(({ port, hosts }) => (port ? [] : hosts));
  const narrowed = JSON.parse(await dumpText(mesh, proxy));
  // A scope without the filter has these Services, because their endpoints are no pods of the mesh.
  const isImported = entries.some((entry) => entry.includes('synthetic-'));
  if (!isImported && JSON.stringify(narrowed).includes('synthetic-'))
    return ['it has Services that exist only as configuration: it is not narrowed'];
  const imported = { entries, addresses: await addressesOf(mesh, entries) };
  const { differences } = compareNarrowed(full, narrowed, imported);
  // What refers to nothing with full configuration has not been lost.
  const before = new Set(danglingClusters(full).map(({ cluster }) => cluster));
  const dangling = danglingClusters(narrowed)
    .filter(({ cluster }) => !before.has(cluster))
    .map(({ cluster, place }) => `${place}: no cluster ${cluster}`);
  return [...dangling, ...differences.map(textOf)];
}

type Egress = { port?: object; hosts: string[] };

type ServiceObject = {
  metadata: { name: string; namespace: string };
  spec: { clusterIPs?: string[] };
};

/** Addresses of the Services that a scope imports. */
async function addressesOf(mesh: Mesh, entries: readonly string[]): Promise<string[]> {
  const { items } = (await mesh.get(['services', '-A'])) as { items: ServiceObject[] };
  const imported = new Set(entries);
  return items
    .filter(({ metadata: { name, namespace } }) =>
      imported.has(`${namespace}/${name}.${namespace}.svc.cluster.local`),
    )
    .flatMap(({ spec }) => spec.clusterIPs ?? [])
    .filter((address) => address !== 'None');
}
