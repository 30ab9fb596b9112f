import { object, one, proxied } from './object-cases.ts';
import type { Case } from './situation.ts';

const offloaded = {
  'proxy.istio.io/config': 'privateKeyProvider: {cryptomb: {pollDelay: 2ms, fallback: true}}',
};
const asking = (annotations: Record<string, string>) => {
  const found = proxied({ resources: { requests: { memory: '1Gi' } } }, {}, annotations);
  const labels = { ...found.metadata.labels, 'lazyscope.io/tls-offload': 'auto' };
  return { ...found, metadata: { ...found.metadata, labels } };
};
const labelledNode = (labels: Record<string, string>, annotations = {}) => ({
  ...object('Node', 'node-1'),
  metadata: { name: 'node-1', labels, annotations },
});
const capableNode = labelledNode({ 'lazyscope.io/cryptomb': 'true' });
const bypassNode = (state: string) =>
  labelledNode({ 'lazyscope.io/bypass': 'enabled' }, { 'lazyscope.io/bypass-state': state });

export const hardwareCases: Case[] = [
  [
    'tls-offload-left-out',
    { objects: [capableNode, asking({})] },
    { objects: [capableNode, asking(offloaded)] },
  ],
  // Without a capable node offload is off by itself.
  [
    'tls-offload-left-out',
    { objects: [capableNode, asking({})] },
    { objects: [labelledNode({}), asking({})] },
  ],
  one('bypass-refused', bypassNode('refused (no BTF)'), bypassNode('active (2 pods)')),
];
