import { expect, test } from 'vitest';
import { pathOf } from '../../../box/cluster-objects.ts';

test.each([
  ['pods -n shop', '/api/v1/namespaces/shop/pods'],
  ['pod web-1 -n shop', '/api/v1/namespaces/shop/pods/web-1'],
  ['pods -n shop -l app=web', '/api/v1/namespaces/shop/pods?labelSelector=app%3Dweb'],
  ['pods -A', '/api/v1/pods'],
  ['nodes', '/api/v1/nodes'],
  ['namespace shop', '/api/v1/namespaces/shop'],
  ['deployment/istiod -n istio-system', '/apis/apps/v1/namespaces/istio-system/deployments/istiod'],
  ['sidecar web -n a', '/apis/networking.istio.io/v1/namespaces/a/sidecars/web'],
  ['workloadscope web -n a', '/apis/lazyscope.io/v1alpha1/namespaces/a/workloadscopes/web'],
  ['lease leader -n a', '/apis/coordination.k8s.io/v1/namespaces/a/leases/leader'],
])('kubectl get %s is a GET of %s', (args, path) => {
  expect(pathOf(args.split(' '))).toBe(path);
});

test.each([
  'rollouts web -n shop',
  'pods,services -n shop',
  'pods',
  'pods web-1 web-2 -n shop',
  'pods web-1 -n shop -l app=web',
  'pods -n shop --field-selector status.phase=Running',
])('kubectl get %s is left to kubectl', (args) => {
  expect(pathOf(args.split(' '))).toBeUndefined();
});
