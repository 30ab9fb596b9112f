import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { accountFolder } from '../../box/api/accounts.ts';
import { type ApiServer, startApiServer } from '../../box/api/api-server.ts';
import { installFilter } from '../../box/api/population.ts';
import { filesBelow, type Manifest, manifests, parse, render } from '../unit/manifests/render.ts';
import {
  bypassJourney,
  controllerJourney,
  type Journey,
  nodeJourney,
  viewerJourney,
  webPod,
} from './journey.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

const folders = ['base', 'components/bypass'];
const objects = folders.flatMap((folder) => render(join(manifests, folder)));
const journeys: Record<string, Journey> = {
  'lazyscope-bypass': bypassJourney,
  'lazyscope-controller': controllerJourney,
  'lazyscope-node': nodeJourney,
  'lazyscope-viewer': viewerJourney,
};

type Permission = { role: string; kind: string; rule: number; resource: string; verb: string };

const permissions: Permission[] = objects
  .filter(({ kind }) => kind === 'Role' || kind === 'ClusterRole')
  .flatMap(({ kind, metadata, rules }) =>
    rules.flatMap(({ resources, verbs }: Manifest, rule: number) =>
      resources.flatMap((resource: string) =>
        verbs.map((verb: string) => ({ role: metadata.name, kind, rule, resource, verb })),
      ),
    ),
  );

let api: ApiServer;
beforeAll(async () => {
  api = await startApiServer(console.error);
  process.env.KUBERNETES_SERVICE_HOST = api.environment.KUBERNETES_SERVICE_HOST;
  process.env.KUBERNETES_SERVICE_PORT = api.environment.KUBERNETES_SERVICE_PORT;
  await api.call('POST', '/api/v1/namespaces', { metadata: { name: 'istio-system' } });
  await api.call('POST', '/api/v1/nodes', {
    metadata: { name: 'node-1', labels: { 'lazyscope.io/bypass': 'enabled' } },
  });
});
afterAll(() => api?.stop());

/** The rules of a role, without one verb on one resource of one rule. */
function rulesWithout({ kind, metadata, rules }: Manifest, without: Permission | undefined) {
  return rules.flatMap((rule: Manifest, index: number) => {
    if (!without || without.rule !== index) return [rule];
    if (without.kind !== kind || without.role !== metadata.name) return [rule];
    const others = rule.resources.filter((each: string) => each !== without.resource);
    const verbs = rule.verbs.filter((each: string) => each !== without.verb);
    return [
      ...(others.length > 0 ? [{ ...rule, resources: others }] : []),
      ...(verbs.length > 0 ? [{ ...rule, resources: [without.resource], verbs }] : []),
    ];
  });
}

let variants = 0;

/**
 * Runs the journey of a role in its own namespaces, with its own account, roles and bindings, so
 * that journeys do not disturb each other.
 */
async function live(role: string, without?: Permission): Promise<string[]> {
  variants += 1;
  const [system, app, name] = [`system-${variants}`, `app-${variants}`, `${role}-${variants}`];
  const post = (path: string, body: object) => api.call('POST', path, body);
  const labels = { 'lazyscope.io/mode': 'enforce' };
  await post('/api/v1/namespaces', { metadata: { name: system } });
  await post('/api/v1/namespaces', { metadata: { name: app, labels } });
  await post(`/api/v1/namespaces/${app}/pods`, webPod);
  const status = { phase: 'Running', podIP: '10.1.0.1', podIPs: [{ ip: '10.1.0.1' }] };
  await api.call('PATCH', `/api/v1/namespaces/${app}/pods/web/status`, { status });
  await installFilter(api, app);
  if (role === 'lazyscope-node') {
    const ca = { metadata: { name: 'lazyscope-ca' }, data: { 'ca.crt': 'pem' } };
    await post(`/api/v1/namespaces/${system}/configmaps`, ca);
  }
  const rbac = '/apis/rbac.authorization.k8s.io/v1';
  for (const object of objects.filter(({ metadata }) => metadata.name === role)) {
    const subjects = [{ kind: 'ServiceAccount', name: role, namespace: system }];
    const bindTo = (kind: string, named: string) => ({
      metadata: { name: named },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind, name: named },
      subjects,
    });
    const rules = object.rules && rulesWithout(object, without);
    if (object.kind === 'ClusterRole') {
      await post(`${rbac}/clusterroles`, { metadata: { name }, rules });
      await post(`${rbac}/clusterrolebindings`, bindTo('ClusterRole', name));
    } else if (object.kind === 'Role') {
      await post(`${rbac}/namespaces/${system}/roles`, { metadata: { name: role }, rules });
      await post(`${rbac}/namespaces/${system}/rolebindings`, bindTo('Role', role));
    }
  }
  const account = await accountFolder(api, { namespace: system, name: role });
  try {
    return (await journeys[role]?.({ api, account: account.path, system, app })) ?? [];
  } finally {
    await account.remove();
  }
}

test('every role of every manifest has a journey here', () => {
  const written = filesBelow(manifests, '.yaml')
    .flatMap(({ text }) => parse(text))
    .filter((object) => object?.rules && /^(Cluster)?Role$/.test(object.kind))
    .map(({ kind, metadata }) => `${kind} ${metadata.name}`);
  expect(written.length).toBeGreaterThan(4);
  const lived = permissions.map(({ kind, role }) => `${kind} ${role}`);
  expect(written.filter((role) => !lived.includes(role))).toEqual([]);
  expect(permissions.filter(({ role }) => !journeys[role])).toEqual([]);
});

describe.each(Object.keys(journeys))('%s', (role) => {
  test('may make each of its calls', async () => {
    expect(await live(role)).toEqual([]);
  });

  const own = permissions.filter((each) => each.role === role);
  test.concurrent.each(own.map((each) => [each.verb, each.resource, each.kind, each] as const))(
    'cannot do without %s %s (%s)',
    async (verb, resource, _kind, permission) => {
      const [refusal] = await live(role, permission);
      expect(refusal).toContain(`403: `);
      expect(refusal).toContain(`cannot ${verb} resource "${resource}"`);
    },
  );
});
