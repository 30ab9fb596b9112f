import { object, one, proxied } from './object-cases.ts';
import type { Case } from './situation.ts';

const node = (value: string) => ({
  ...object('Node', 'node-1'),
  metadata: {
    name: 'node-1',
    labels: { 'feature.node.kubernetes.io/cpu-cpuid.AVX512IFMA': value },
  },
});
const keys = (settings: object) => ({
  defaultConfig: { privateKeyProvider: { cryptomb: settings } },
});
const provided = (provider: string, limits: object = {}) =>
  proxied(
    { resources: { limits, requests: { memory: '1Gi' } } },
    {},
    {
      'proxy.istio.io/config': `privateKeyProvider: {${provider}: {pollDelay: 2ms, fallback: true}}`,
    },
  );
const cryptomb = (nodeSelector: object) => {
  const found = provided('cryptomb');
  return { ...found, spec: { ...found.spec, nodeSelector } };
};
const qat = (limits: object) => provided('qat', limits);

export const tlsCases: Case[] = [
  [
    'private-key-fallback',
    { mesh: keys({ pollDelay: '2ms', fallback: true }), objects: [node('false')] },
    { mesh: keys({ pollDelay: '2ms' }), objects: [node('true')] },
  ],
  [
    'private-key-fallback',
    { objects: [node('false'), cryptomb({})] },
    { objects: [node('false'), cryptomb({ 'lazyscope.io/cryptomb': 'true' })] },
  ],
  [
    'private-key-poll-delay',
    { mesh: keys({ pollDelay: '1.5s', fallback: true }) },
    { mesh: keys({ pollDelay: '20ms', fallback: true }) },
  ],
  one('private-key-device', qat({}), qat({ 'qat.intel.com/cy': '1' })),
];
