import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseAllDocuments, stringify } from 'yaml';
import { istioSource } from '../../../box/artifacts/binaries.ts';
import { imageName } from '../../../box/artifacts/images.ts';
import { appPorts } from '../../../box/shop.ts';

const path = 'samples/bookinfo/platform/kube/bookinfo.yaml';

/** The port of every Service of Bookinfo. */
export const bookinfoPort = 9080;

type Container = { name: string; image: string; args?: string[] };
type Document = {
  kind: string;
  metadata: { name: string };
  spec: { template: { spec: { containers: Container[] } } };
};

/**
 * Writes Istio's own Bookinfo to a folder, under the path that it has in a release of Istio. Its
 * images would need a registry, so the containers run the test application instead, which serves
 * on the same port, and TCP besides.
 */
export async function writeBookinfo(folder: string): Promise<void> {
  const text = await readFile(join(await istioSource(), path), 'utf8');
  const objects = parseAllDocuments(text).flatMap((each) => (each.toJS() as Document | null) ?? []);
  for (const { kind, metadata, spec } of objects) {
    if (kind !== 'Deployment') continue;
    for (const container of spec.template.spec.containers) {
      container.image = imageName('app');
      container.args = ['serve', '--name', metadata.name, '--http', String(bookinfoPort)];
      container.args.push('--tcp-server-first', String(appPorts.tcpServerFirst));
    }
  }
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), objects.map((object) => stringify(object)).join('---\n'));
}
