import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import {
  clusterNames,
  deleteNamespaces,
  entryOf,
  hostOf,
  importedHosts,
  untilNarrowed,
} from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { enableNamespace, type FirstCall } from '../../../box/product.ts';
import { appContainer, appPorts, namespaceObject, workload } from '../../../box/shop.ts';

// Services with internalTrafficPolicy Local: the endpoint on the caller's node is meant. The
// gateway would choose by its own node.

const mesh = openMesh();
const strategies: FirstCall[] = ['gateway', 'hold'];
const namespaceOf = (strategy: FirstCall) => `node-local-${strategy}`;
const nodes = mesh.state.nodes.map(({ name }) => name);
const callers = nodes.map((node) => `on-${node}`);

const meta = (namespace: string, name: string) => ({ name, namespace });

function objects(namespace: string): object[] {
  const labels = { app: 'agent' };
  return [
    namespaceObject(namespace),
    ...nodes.flatMap((node) => workload(namespace, `on-${node}`, { node })),
    {
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata: meta(namespace, 'agent'),
      spec: {
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [appContainer('agent')] } },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: meta(namespace, 'agent'),
      spec: {
        selector: labels,
        internalTrafficPolicy: 'Local',
        ports: [{ name: 'http', port: appPorts.http }],
      },
    },
  ];
}

const answeredBy = async (caller: PodRef) => {
  const { status, body, error } = await call(mesh, caller, `http://agent:${appPorts.http}/`);
  return { status, node: body?.node, error: error ?? '' };
};

const all = strategies.map(namespaceOf);

beforeAll(async () => {
  await mesh.apply(all.flatMap(objects));
  await Promise.all(all.map((namespace) => mesh.rollout(namespace)));
  for (const strategy of strategies) {
    await enableNamespace(mesh, namespaceOf(strategy), 'enforce', strategy);
    await untilNarrowed(mesh, namespaceOf(strategy), callers);
  }
});

afterAll(() => deleteNamespaces(mesh, ...all));

test.each(strategies)(
  'with %s, first and later calls end on the node of the caller',
  async (strategy) => {
    const namespace = namespaceOf(strategy);
    const cluster = `outbound|${appPorts.http}||${hostOf(namespace, 'agent')}`;
    for (const [index, name] of callers.entries()) {
      const caller = await mesh.pod(namespace, `app=${name}`);
      const here = { status: 200, node: nodes[index], error: '' };
      expect(await clusterNames(mesh, caller)).not.toContain(cluster);
      expect(await answeredBy(caller)).toEqual(here);
      await mesh.waitFor('the agent in the scope', async () =>
        (await importedHosts(mesh, namespace, name)).includes(entryOf(namespace, 'agent')),
      );
      await mesh.waitFor('its cluster', async () =>
        (await clusterNames(mesh, caller)).includes(cluster),
      );
      for (let i = 0; i < 4; i++) expect(await answeredBy(caller)).toEqual(here);
    }
  },
);
