import type { Edge } from './rpc.ts';

/** What makes two observations the same destination. */
export function keyOf({ cluster, unknown }: Pick<Edge, 'cluster' | 'unknown'>): string {
  if (!unknown) return cluster ?? '';
  const { tcp, authority, destination } = unknown;
  return `${tcp ? 'tcp' : 'http'} ${authority} ${destination}`;
}
