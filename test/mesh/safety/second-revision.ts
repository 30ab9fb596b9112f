import { join } from 'node:path';
import { parseAllDocuments, stringify } from 'yaml';
import { imageHub, imageTag } from '../../../box/artifacts/images.ts';
import type { Mesh } from '../../../box/mesh.ts';
import { boxDir } from '../../../box/paths.ts';
import { secondRevision } from './rig.ts';

/** The second istiod does not discover a namespace with this label. */
export const hiddenLabel = 'lazyscope.test/hidden-from-second';

/** The settings in which the second istiod differs from the first. */
const meshConfig = {
  defaultServiceExportTo: ['.'],
  discoverySelectors: [{ matchExpressions: [{ key: hiddenLabel, operator: 'DoesNotExist' }] }],
};

type Generated = {
  kind: string;
  metadata: { name: string };
  data?: { mesh: string };
};

/** The objects of a second istiod, except for its validating webhook, because one is enough. */
async function generated(mesh: Mesh): Promise<Generated[]> {
  const settings = [`revision=${secondRevision}`, 'profile=minimal', `hub=${imageHub}`];
  const gateway = 'components.ingressGateways[0]';
  const text = await mesh.istioctl([
    ...['manifest', 'generate', '-f', join(boxDir, 'cluster', 'manifests', 'istio.yaml')],
    ...[...settings, `tag=${imageTag}`].flatMap((each) => ['--set', each]),
    ...['--set', `${gateway}.name=istio-ingressgateway`, '--set', `${gateway}.enabled=false`],
  ]);
  return parseAllDocuments(text)
    .map((document) => document.toJS() as Generated | null)
    .filter((object) => object !== null)
    .filter(({ kind, metadata }) => {
      return metadata.name.includes(secondRevision) && kind !== 'ValidatingWebhookConfiguration';
    });
}

/**
 * Returns when the second istiod serves. `remove` deletes everything that this function has
 * created.
 */
export async function installSecondRevision(mesh: Mesh): Promise<{ remove(): Promise<void> }> {
  const objects = await generated(mesh);
  for (const { metadata, data } of objects)
    if (metadata.name === `istio-${secondRevision}` && data)
      data.mesh = `${data.mesh}\n${stringify(meshConfig)}`;
  await mesh.apply(objects);
  const deployment = `deployment/istiod-${secondRevision}`;
  await mesh.kubectl(['rollout', 'status', '-n', 'istio-system', deployment, '--timeout=120s']);
  return {
    async remove() {
      const text = objects.map((object) => JSON.stringify(object)).join('\n---\n');
      await mesh.kubectl(['delete', '-f', '-', '--ignore-not-found', '--wait=false'], text);
    },
  };
}
