import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { EnvoyProcess } from '../../../embedded/envoy-process.ts';
import { place } from '../../../embedded/objects.ts';
import { generateServices } from '../../../embedded/services.ts';
import type { Json } from '../../../embedded/shipped-patches.ts';
import { readShippedPatches } from '../../../embedded/shipped-patches.ts';
import { sidecarConfiguration } from '../../../embedded/sidecar-config.ts';
import { createXdsFiles, type XdsFiles } from '../../../embedded/xds-files.ts';

type File = { version_info: string; resources: Json[] };

const patches = readShippedPatches();
const services = place(
  generateServices(8).map((service, i) => ({ ...service, ports: [80 + (i % 3), 90 + i] })),
  2,
);

function configuration(files: XdsFiles, chosen: readonly number[]) {
  const hosts = chosen.map((i) => `shop/${services[i]?.host}`);
  return sidecarConfiguration({
    namespace: 'shop',
    services,
    sidecar: {
      apiVersion: 'v1',
      kind: 'Sidecar',
      metadata: { name: 'a', namespace: 'shop' },
      spec: { egress: [{ hosts }] },
    },
    sentinel: undefined,
    ports: { gateway: 1, node: 2, kubeProxy: 3, backends: [4, 5] },
    secrets: { certificate: 'c', ca: 'a' },
    patches,
    outboundPort: 0,
    routesFile: files.routesFile,
  });
}

function read(path: string): File {
  return JSON.parse(readFileSync(path, 'utf8')) as File;
}

/** Clusters that the active routes and listeners name. */
function* named(tree: unknown): Generator<string> {
  if (tree === null || typeof tree !== 'object') return;
  const { cluster } = tree as Json;
  if (typeof cluster === 'string') yield cluster;
  for (const part of Object.values(tree)) yield* named(part);
}

/** An Envoy that accepts everything at once, and reads the files whenever it is asked. */
function watchingEnvoy(files: XdsFiles, folder: string): { envoy: EnvoyProcess; looks: number } {
  const seen = { looks: 0 };
  const admin = async (path: string) => {
    seen.looks += 1;
    const clusters = new Set(read(files.clustersFile).resources.map(({ name }) => name));
    const listeners = existsSync(files.listenersFile) ? read(files.listenersFile).resources : [];
    const ports = listeners.flatMap(
      ({ name }) => /^0\.0\.0\.0_(\d+)$/.exec(String(name))?.[1] ?? [],
    );
    const routes = ports.flatMap((port) => read(files.routesFile(Number(port))).resources);
    for (const cluster of [...named(listeners), ...named(routes)])
      expect(clusters).toContain(cluster);
    const port = /rds\\\.(\d+)/.exec(decodeURIComponent(path))?.[1];
    const file = path.includes('cds')
      ? files.clustersFile
      : path.includes('lds')
        ? files.listenersFile
        : join(folder, `routes-${port}.json`);
    return `x.version_text: "${existsSync(file) ? read(file).version_info : ''}"\n`;
  };
  const envoy = { name: 'test', admin, log: () => [] } as unknown as EnvoyProcess;
  return Object.assign(seen, { envoy });
}

test('after any sequence of scopes no route and no listener lacks its cluster', async () => {
  const scopes = fc.array(fc.subarray([0, 1, 2, 3, 4, 5, 6, 7]), { minLength: 1, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(scopes, async (steps) => {
      const folder = mkdtempSync(join(tmpdir(), 'lazyscope-files-'));
      try {
        const files = await createXdsFiles(folder);
        const watching = watchingEnvoy(files, folder);
        await files.push(configuration(files, []));
        await files.attach(watching.envoy);
        for (const chosen of steps) {
          await files.push(configuration(files, chosen));
          const wanted = configuration(files, chosen).clusters.map(({ name }) => name);
          const left = read(files.clustersFile).resources.map(({ name }) => name);
          expect(left.sort()).toEqual(wanted.sort());
        }
        expect(watching.looks).toBeGreaterThan(0);
      } finally {
        rmSync(folder, { recursive: true });
      }
    }),
    { numRuns: 30 },
  );
}, 60_000);
