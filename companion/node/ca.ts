import { readFile } from 'node:fs/promises';
import type { Kube, Watch } from '../kube/object.ts';

/** Name and key of the ConfigMap in which the controllers publish their CA. */
export const caConfigMap = { name: 'lazyscope-ca', key: 'ca.crt' };

export type CaSource = { read(): Promise<Buffer | undefined>; stop(): void };

/** A file that is read for each connection, because it may be replaced at any time. */
export function caFromFile(path: string): CaSource {
  return { read: () => readFile(path), stop: () => undefined };
}

/** The ConfigMap, followed by a watch, because a new controller may publish a new CA. */
export function caFromKube(kube: Pick<Kube, 'watch'>, namespace: string): CaSource {
  let ca: Buffer | undefined;
  const watch: Watch = kube.watch(
    {
      group: '',
      version: 'v1',
      plural: 'configmaps',
      namespace,
      cached: true,
      fieldSelector: `metadata.name=${caConfigMap.name}`,
    },
    {
      upsert(object) {
        const pem: unknown = object.data?.[caConfigMap.key];
        ca = typeof pem === 'string' && pem !== '' ? Buffer.from(pem) : undefined;
      },
      remove() {
        ca = undefined;
      },
    },
  );
  return { read: async () => ca, stop: watch.stop };
}
