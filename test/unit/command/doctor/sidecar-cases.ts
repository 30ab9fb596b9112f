import type { KubeObject } from '../../../../companion/kube/object.ts';
import { istio } from '../../companion/core/objects.ts';
import { scope } from '../objects.ts';
import { object, one, proxied } from './object-cases.ts';
import type { Case } from './situation.ts';

const limited = (memory: string): KubeObject[] => [
  proxied({ resources: { limits: { memory: '100Mi' }, requests: { memory: '50Mi' } } }),
  {
    ...object('PodMetrics', 'shop/web'),
    ...{ containers: [{ name: 'istio-proxy', usage: { cpu: '10m', memory } }] },
  },
];
/** Metrics of pods come from an API server of their own (metrics.k8s.io). */
export const usageCases: Case[] = [
  ['proxy-near-limit', { objects: limited('79000Ki') }, { objects: limited('76Mi') }],
];

const saving = (after: number) =>
  scope('shop/cart', {
    ...{ mode: 'enforce', scoped: 'Enforced', clusters: { before: 100, after } },
  });
const bank = (namespace: string, exportTo: string[]) =>
  istio('ServiceEntry', `${namespace}/bank2`, {
    ...{ hosts: ['two.bank.example'], ports: [{ number: 443, name: 'tls', protocol: 'TLS' }] },
    ...{ resolution: 'DNS', exportTo },
  });
const withProvider = (image: string) =>
  proxied(
    { image, resources: { requests: { memory: '1Gi' } } },
    {},
    { 'proxy.istio.io/config': 'privateKeyProvider: {cryptomb: {pollDelay: 2ms, fallback: true}}' },
  );
export const sidecarCases: Case[] = [
  one(
    'proxy-too-old',
    proxied({ image: 'istio/proxyv2:1.29.4' }),
    proxied({ image: 'istio/proxyv2:1.30.0' }),
  ),
  one('little-saved', saving(51), saving(50)),
  [
    'host-in-namespaces',
    { objects: [bank('shop', []), bank('plain', ['*'])] },
    { objects: [bank('shop', []), bank('plain', ['.'])] },
  ],
  one(
    'private-key-openssl',
    withProvider('registry.redhat.io/openshift-service-mesh/istio-proxyv2-rhel9:1.30'),
    withProvider('docker.io/istio/proxyv2:1.31.0'),
  ),
];
