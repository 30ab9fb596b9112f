import { buckets } from './digests.ts';

/**
 * How much of a compact catalog a node is sent. Where not all of it fits, the hosts of some buckets
 * are sent short: what tells a call to the host from all others, without its servers and rules. The
 * node then asks a controller about calls to these hosts, and answers all others by itself. The key
 * of a record decides about its bucket, so all replicas leave out much the same.
 */

export type CatalogBounds = {
  /** Hosts that are sent whole. */
  hosts: number;
  /** Hosts in all. */
  known: number;
  /** Characters of all records. */
  length: number;
};

/** What is in one bucket: hosts, and the characters of all records with hosts whole and short. */
export type BucketSize = { hosts: number; whole: number; short(): number };

/**
 * How many buckets can be sent whole, from the first one on. Undefined: not even short records of
 * all hosts fit.
 */
function wholeBuckets(sizes: readonly BucketSize[], bounds: CatalogBounds): number | undefined {
  let hosts = 0;
  let length = sizes.reduce((sum, { short }) => sum + short(), 0);
  const known = sizes.reduce((sum, size) => sum + size.hosts, 0);
  if (known > bounds.known || length > bounds.length) return undefined;
  for (const [index, size] of sizes.entries()) {
    hosts += size.hosts;
    length += size.whole - size.short();
    if (hosts > bounds.hosts || length > bounds.length) return index;
  }
  return buckets;
}

/**
 * The same for a node that has `current` buckets whole. More are sent only if they leave some room,
 * so that a mesh whose size is at the bound does not send a bucket again and again.
 */
export function nextWholeBuckets(
  sizes: readonly BucketSize[],
  bounds: CatalogBounds,
  current: number | undefined,
): number | undefined {
  const roomy = {
    ...bounds,
    hosts: bounds.hosts * roomShare,
    length: bounds.length * roomShare,
  };
  const hosts = sizes.reduce((sum, size) => sum + size.hosts, 0);
  const length = sizes.reduce((sum, { whole }) => sum + whole, 0);
  // Almost always, and then nobody works out short records.
  if (hosts <= Math.min(roomy.hosts, bounds.known) && length <= roomy.length) return buckets;
  const most = wholeBuckets(sizes, bounds);
  if (current === undefined || most === undefined || most <= current) return most;
  return Math.max(current, wholeBuckets(sizes, roomy) ?? 0);
}

/** The room is more than half a bucket of a catalog that is at its bound. */
const roomShare = 0.99;
