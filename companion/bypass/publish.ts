import { rename, writeFile } from 'node:fs/promises';
import type { Kube } from '../kube/object.ts';
import { featureFile } from './features.ts';
import { type BypassReport, fieldManager, isCapable, nodeOf } from './report.ts';

type Options = { kube: Pick<Kube, 'apply'>; nodeName: string; featurePath: string };

/** Writes the report to the Node and for Node Feature Discovery if it has changed. */
export function createPublish({ kube, nodeName, featurePath }: Options) {
  let last = '';
  return async (report: BypassReport): Promise<void> => {
    const text = JSON.stringify(report);
    if (text === last) return;
    if (featurePath) {
      // A reader sees either the old file or the new file.
      await writeFile(`${featurePath}.part`, featureFile(report.features, isCapable(report)));
      await rename(`${featurePath}.part`, featurePath);
    }
    await kube.apply(nodeOf(nodeName, report), { fieldManager, force: true });
    last = text;
  };
}
