import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { bootstrap, httpListener, type Json, type } from '../../box/envoy/bootstrap.ts';
import { startEnvoy } from '../../box/envoy/envoy.ts';
import type { Placed } from '../../embedded/objects.ts';
import { routeConfiguration } from '../../embedded/routes.ts';
import { readShippedPatches, type ShippedPatches } from '../../embedded/shipped-patches.ts';

// What the routes of first calls cost in a virtual host; ARCHITECTURE.md names the figure.

const hosts = 1_000;
const port = 8080;
const services: Placed[] = Array.from({ length: hosts }, (_, i) => ({
  ...{ name: `service-${i}`, namespace: 'prod', host: `service-${i}.prod.svc.cluster.local` },
  ...{ ports: [], clusterIp: `10.96.${i >> 8}.${i & 255}`, backend: 0 },
}));
const patches = readShippedPatches();
const withoutRoutes = { ...patches, routesBefore: [], routesAfter: [] };
/** Does nothing. */
const filter = {
  name: 'envoy.filters.http.rbac',
  typed_config: { '@type': type('envoy.extensions.filters.http.rbac.v3.RBAC') },
};

/** Bytes of an Envoy whose routes come from istiod, here from a file. */
async function allocated(shown: readonly Placed[], { ...routes }: ShippedPatches): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'lazyscope-routes-'));
  const path = join(folder, 'routes.json');
  const config = routeConfiguration(port, shown, undefined, 'prod', routes);
  await writeFile(path, JSON.stringify({ version_info: '1', resources: [config] }));
  const source = { path_config_source: { path }, resource_api_version: 'V3' };
  const rds: Json = { rds: { route_config_name: String(port), config_source: source } };
  const settings = { ...bootstrap([httpListener('http', rds, filter)], []) };
  const envoy = await startEnvoy({ ...settings, stats_flush_interval: '0.1s' });
  try {
    // The figure is of the last flush.
    let last = 0;
    await expect
      .poll(
        async () => {
          const before = last;
          last = Number(JSON.parse(await envoy.admin('/memory')).allocated);
          return Math.abs(last - before) / last;
        },
        { interval: 300, timeout: 20_000 },
      )
      .toBeLessThan(0.005);
    return last;
  } finally {
    await envoy.stop();
    await rm(folder, { recursive: true });
  }
}

test('the routes of first calls cost a virtual host 8 to 9 KB, one and a half times what istiod gives it', async () => {
  const nothing = await allocated([], withoutRoutes);
  const own = ((await allocated(services, withoutRoutes)) - nothing) / hosts;
  const added = ((await allocated(services, patches)) - nothing) / hosts - own;
  expect([added / 1000, added / own]).toEqual([expect.closeTo(8.5, 0), expect.closeTo(1.5, 0)]);
});
