import type { KubeObject } from '../../../companion/kube/object.ts';
import { app, istio, ourSidecar, service, slice } from '../companion/core/objects.ts';
import { learned, narrowed } from './objects.ts';

/** A small mesh: `web` has called `cart`, and never `payments`. */
export const cartEntry = 'shop/cart.shop.svc.cluster.local';

const namespace = (name: string, more: Partial<KubeObject['metadata']> = {}): KubeObject => ({
  ...{ apiVersion: 'v1', kind: 'Namespace' },
  metadata: { name, ...more },
});

const webScope = () => narrowed('shop/web', [learned(cartEntry)]);

export function shopObjects(strategy = 'direct'): KubeObject[] {
  const sidecar = ourSidecar('shop/web', { app: 'web' });
  return [
    namespace('shop', {
      labels: { 'lazyscope.io/mode': 'enforce' },
      annotations: { 'lazyscope.io/first-call': strategy },
    }),
    namespace('plain'),
    ...app('shop/web', '10.96.0.1', '10.244.0.1'),
    ...app('shop/cart', '10.96.0.2', '10.244.0.2'),
    ...app('shop/payments', '10.96.0.3', '10.244.0.3'),
    ...app('plain/legacy', '10.96.0.4', '10.244.0.4', { tlsMode: '' }),
    service('shop/db', { ip: '10.96.0.5', ports: [{ name: 'tcp-db', port: 5432 }] }),
    slice('shop/db', [{ ip: '10.244.0.5' }], [5432]),
    service('lazyscope-system/lazyscope-egress', {
      ip: '10.96.0.9',
      ports: [{ name: 'tls', port: 15443 }],
    }),
    slice('lazyscope-system/lazyscope-egress', [{ ip: '10.244.0.9' }], [15443]),
    istio('VirtualService', 'shop/payments', {
      hosts: ['payments'],
      http: [{ route: [{ destination: { host: 'payments' } }] }],
    }),
    istio('ServiceEntry', 'shop/bank', {
      hosts: ['api.bank.example'],
      ports: [{ number: 443, name: 'tls', protocol: 'TLS' }],
      resolution: 'DNS',
    }),
    webScope(),
    { ...sidecar, spec: { ...sidecar.spec, egress: [{ hosts: [cartEntry] }] } },
  ];
}
