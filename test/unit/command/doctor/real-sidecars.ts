import { type Entry, inEnabled, namespace, object, type PodOptions, web } from './real-mesh.ts';

/** Pods whose sidecars lack something, and what else concerns sidecars. */

/** A pod in a namespace without Lazyscope. */
const inPlain = (id: string, words: string, options: PodOptions): Entry => [
  id,
  () => ({
    objects: [namespace(id), web(`${id}/web-1`, options)],
    ...{ subject: `Pod ${id}/web-1`, words },
  }),
];
const killed = {
  terminated: { reason: 'OOMKilled', exitCode: 137, finishedAt: '2026-11-28T11:00:00Z' },
};
const owner = { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'web' };
const provider = (text: string) => ({
  annotations: { 'proxy.istio.io/config': `privateKeyProvider: ${text}` },
});
/** Such pods run on nodes with the instructions only. */
const onCapable = { nodeSelector: { 'lazyscope.io/cryptomb': 'true' } };
export const resources: Entry[] = [
  inPlain('resource-annotations', 'it sets proxyCPU: its sidecar then has no proxyCPULimit', {
    annotations: { 'sidecar.istio.io/proxyCPU': '10m' },
  }),
  inPlain('proxy-oom', 'killed for want of memory at 2026-11-28T11:00:00Z', {
    status: { lastState: killed, restartCount: 1 },
  }),
  inPlain('proxy-restarts', 'its sidecar has restarted 6 times', { status: { restartCount: 6 } }),
  inPlain('proxy-no-request', 'its sidecar requests no memory', {
    proxy: { resources: { requests: { cpu: '100m' } } },
  }),
  [
    'hpa-counts-proxy',
    (id) => ({
      objects: [
        namespace(id),
        web(`${id}/web-0`, { owner }),
        object('HorizontalPodAutoscaler', `${id}/web`, {
          spec: {
            scaleTargetRef: owner,
            maxReplicas: 3,
            metrics: [
              {
                type: 'Resource',
                resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } },
              },
            ],
          },
        }),
      ],
      ...{ subject: `HorizontalPodAutoscaler ${id}/web`, words: 'compares the cpu of web with' },
    }),
  ],
  inPlain('private-key-poll-delay', 'pollDelay of cryptomb is 1.5s; Istio takes 500 ms', {
    ...provider('{cryptomb: {pollDelay: 1.5s, fallback: true}}'),
    ...onCapable,
  }),
  inPlain('private-key-device', 'no container requests qat.intel.com/*', {
    ...provider('{qat: {pollDelay: 2ms, fallback: true}}'),
  }),
  [
    'private-key-fallback',
    (id) => ({
      objects: [
        ...[namespace(id), object('Node', 'node-3')],
        web(`${id}/web-1`, provider('{cryptomb: {pollDelay: 2ms}}')),
      ],
      ...{ subject: `Pod ${id}/web-1`, words: 'such as node-3' },
    }),
  ],
  [
    'tls-offload-left-out',
    (id) => ({
      objects: [
        ...[namespace(id, { 'lazyscope.io/tls-offload': 'auto' }), web(`${id}/web-1`)],
        object('Node', 'node-4', {}, { labels: { 'lazyscope.io/cryptomb': 'true' } }),
      ],
      ...{ subject: `Pod ${id}/web-1`, words: 'created without the policy' },
    }),
  ],
  [
    'bypass-refused',
    () => ({
      objects: [
        object(
          'Node',
          'node-5',
          {},
          {
            labels: { 'lazyscope.io/bypass': 'enabled' },
            annotations: { 'lazyscope.io/bypass-state': 'refused (no BTF)' },
          },
        ),
      ],
      ...{ subject: 'Node node-5', words: 'refused (no BTF)' },
    }),
  ],
];

const bank = (where: string) =>
  object('ServiceEntry', `${where}/bank`, {
    spec: {
      ...{ hosts: ['api.bank.example'], resolution: 'DNS' },
      ports: [{ number: 443, name: 'tls', protocol: 'TLS' }],
    },
  });
const red = 'registry.redhat.io/openshift-service-mesh/istio-proxyv2-rhel9:1.30';
export const sidecars: Entry[] = [
  inEnabled('proxy-too-old', 'its sidecar is istio/proxyv2:1.29.4', {
    proxy: { image: 'istio/proxyv2:1.29.4' },
  }),
  inPlain('private-key-openssl', `cryptomb is set, and ${red} is built with OpenSSL`, {
    ...provider('{cryptomb: {pollDelay: 2ms, fallback: true}}'),
    ...onCapable,
    proxy: { image: red },
  }),
  [
    'host-in-namespaces',
    (id) => ({
      objects: [namespace(id), namespace(`${id}-2`), bank(id), bank(`${id}-2`)],
      ...{ subject: `ServiceEntry ${id}/bank`, words: `by namespaces ${id}, ${id}-2` },
    }),
  ],
];
