import type { KubeObject } from '../../kube/object.ts';

/** What a watched kind adds to the indexes, and how to take it back. */
export type Kind = { read(object: KubeObject): unknown[]; add: Touch; remove: Touch };
// biome-ignore lint/suspicious/noExplicitAny: each kind touches records that its own reader made.
type Touch = (record: any) => void;

export function bothWays<Found>(
  read: (object: KubeObject) => Found | Found[],
  touch: (verb: 'add' | 'remove', record: Found) => void,
): Kind {
  return {
    read(object) {
      const found = read(object);
      // Without the room for more records that flat() would leave in each of 30,000 lists.
      return Array.isArray(found) ? found : [found];
    },
    add: (record: Found) => touch('add', record),
    remove: (record: Found) => touch('remove', record),
  };
}
