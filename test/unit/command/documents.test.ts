import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { programOf } from '../../../command/program.ts';
import type { KubeObject } from '../../../companion/kube/object.ts';
import { app, istio, pod, service } from '../companion/core/objects.ts';
import { commandLine, objectCluster } from './host.ts';
import { learned, narrowed, scope } from './objects.ts';
import { clusterFor, serve } from './page.ts';
import { shopObjects } from './shop.ts';

/** Runs each command in docs/command.md against a mesh of objects and compares the output. */

const path = join(import.meta.dirname, '../../../docs/command.md');
const text = readFileSync(path, 'utf8');
const shown = [...text.matchAll(/^```\n\$ lazyscope (.*)\n([\s\S]*?)^```$/gm)].map(
  ([, line = '', output = '']) => ({ line, output }),
);

const istiod: KubeObject = {
  ...{ apiVersion: 'apps/v1', kind: 'Deployment' },
  metadata: { namespace: 'istio-system', name: 'istiod' },
  spec: {
    template: {
      spec: {
        containers: [{ name: 'discovery', env: [{ name: 'ISTIO_DELTA_XDS', value: 'false' }] }],
      },
    },
  },
};
const cart = 'shop/cart.shop.svc.cluster.local';
const shop: KubeObject = {
  ...{ apiVersion: 'v1', kind: 'Namespace' },
  metadata: { name: 'shop', labels: { 'lazyscope.io/mode': 'observe' } },
};
const byDefault = istio('Sidecar', 'istio-system/default', {
  outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' },
  egress: [{ hosts: ['*/*'] }],
});
const invoices = scope('billing/invoices', {
  ...{ mode: 'enforce', scoped: 'ForeignSidecar', ready: 'ForeignSidecar' },
  hosts: [{ host: 'shop/*', reason: 'pinned' }],
});
const waiting = scope('shop/cart', { ready: 'Learning', memory: { beforeBytes: 120e6 } });
const eager = { host: 'shop/db.example.com', reason: 'eager', message: 'port 5432 is not HTTP' };

/** `billing` is observed, `shop` calls it, and nobody uses `batch`. */
function adviseObjects(): KubeObject[] {
  const namespaces = ['billing', 'shop', 'batch'].map((name) => ({
    ...{ apiVersion: 'v1', kind: 'Namespace' },
    metadata: { name },
  }));
  return [
    ...namespaces,
    ...app('shop/web', '10.96.0.1', '10.244.0.1'),
    ...app('billing/ledger', '10.96.0.2', '10.244.0.2'),
    service('batch/jobs', { ip: '10.96.0.4' }),
    narrowed('billing/ledger'),
    narrowed('shop/web', [learned('billing/ledger.billing.svc.cluster.local')]),
  ];
}

/** The objects of the mesh behind each command of the document. */
const meshes: Record<string, KubeObject[]> = {
  status: [narrowed('shop/web', [learned(cart)]), waiting, invoices],
  callers: [narrowed('shop/web', [learned(cart)]), invoices],
  explain: shopObjects(),
  check: shopObjects(),
  doctor: [istiod],
  export: [
    narrowed('shop/web', [learned(cart), eager]),
    byDefault,
    pod('shop/web-1', { labels: { app: 'web' } }),
  ],
  recommend: shopObjects(),
  advise: adviseObjects(),
  mode: [shop, narrowed('shop/web')],
};

/** `top` asks a controller. */
async function clusterOf(verb: string) {
  if (verb !== 'top') return objectCluster(meshes[verb] ?? []);
  const { port, keys } = await serve();
  return clusterFor(port, { ca: keys.certificate });
}

test('the document shows outputs', () => {
  expect(shown.length).toBeGreaterThan(3);
});

test.each(shown)('$line prints what the document shows', async ({ line, output }) => {
  const [verb = ''] = line.split(' ');
  const { out } = await commandLine(line, await clusterOf(verb));
  if (process.env.LAZYSCOPE_WRITE_DOCS) {
    writeFileSync(
      path,
      readFileSync(path, 'utf8').replace(output, () => out),
    );
  } else expect(out).toBe(output);
});

test('the document describes every verb', () => {
  const host = {
    ...{ program: 'lazyscope', now: () => 0, connect: () => Promise.reject(new Error('none')) },
    interrupted: async () => undefined,
    out: {
      ...{ write: () => undefined, warn: () => undefined, paint: (each: string) => each },
      isTerminal: false,
    },
  };
  const verbs = programOf(host, () => undefined).commands.map((command) => command.name());
  const missing = verbs.filter(
    (name) =>
      !name.startsWith('__') && !new RegExp(`(\`|^### |lazyscope.* )${name}\\b`, 'm').test(text),
  );
  expect(missing).toEqual([]);
});
