import type { KubeObject } from '../../../companion/kube/object.ts';
import { type Answers, commandLine, objectCluster } from './host.ts';

export const namespace = (name: string, labels = {}): KubeObject => ({
  ...{ apiVersion: 'v1', kind: 'Namespace' },
  metadata: { name, labels },
});

export type Found = { id: string; subject: string; [key: string]: string };

/** What a command line of `advise` prints as JSON. */
export async function advise(
  line: string,
  objects: KubeObject[],
  answers: Answers = {},
): Promise<{ code: number; err: string; advice: Found[]; total?: Record<string, number> }> {
  const cluster = objectCluster(objects, { namespace: 'shop', answers });
  const { code, out, err } = await commandLine(`advise ${line} -o json`, cluster);
  return { code, err, ...(out === '' ? { advice: [] } : JSON.parse(out)) };
}
