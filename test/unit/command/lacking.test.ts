import { expect, test } from 'vitest';
import { requestFailure } from '../../../command/frame/failure.ts';
import { KubeError, type Resource } from '../../../companion/kube/object.ts';
import { commandLine, objectCluster } from './host.ts';
import { shopObjects } from './shop.ts';

/** What the command says where a namespace or a right is missing. */

test.each([
  'status',
  'export',
  'explain web',
  'recommend --learned',
  'advise resources --window 1',
  'mode observe',
  'mode observe web',
  'pin web shop/cart.shop.svc.cluster.local',
  'check',
])('%s names a namespace that is not there', async (line) => {
  const named = line === 'check' ? 'check nope' : `${line} -n nope`;
  const { code, out, err } = await commandLine(named, objectCluster(shopObjects()));
  expect({ code, out }).toEqual({ code: 1, out: '' });
  expect(err).toContain('error: namespace nope: there is none\nremedy: kubectl get namespaces');
});

test('who may read little of the mesh is told all that is missing at once', async () => {
  const refuse = ({ group, plural, namespace }: Resource) => {
    const resource = group ? `${plural}.${group}` : plural;
    const asked = { verb: 'list' as const, resource, namespace, server: 'https://api' };
    const cause = new KubeError(403, 'forbidden');
    return Promise.reject(Object.assign(requestFailure(asked, 403, ''), { cause }));
  };
  const cluster = { ...objectCluster([]), list: refuse };
  const { code, err } = await commandLine('explain web -n shop', cluster);
  expect(code).toBe(1);
  const [, kinds = ''] =
    /clusterrole lazyscope-reader --verb=list --resource=(\S+)\n/.exec(err) ?? [];
  expect(kinds.split(',')).toEqual(
    expect.arrayContaining([
      ...['pods', 'services', 'namespaces', 'sidecars.networking.istio.io'],
      'virtualservices.networking.istio.io',
    ]),
  );
});
