import type { Edge } from '../rpc.ts';

/** What makes two observations the same destination. */
export function keyOf({ cluster, unknown }: Pick<Edge, 'cluster' | 'unknown'>): string {
  if (unknown)
    return `${unknown.tcp ? 'tcp' : 'http'}\n${unknown.authority}\n${unknown.destination}`;
  return cluster ?? '';
}
