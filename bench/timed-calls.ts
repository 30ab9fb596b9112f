import { type LoadResult, load } from '../box/load.ts';
import type { Mesh, PodRef } from '../box/mesh.ts';
import type { Times } from './first-call-rows.ts';

/** `meshapp load` also reports the service time of requests, in milliseconds. */
type Timed = LoadResult & { service: Times };

/** One call to each of the URLs, one at a time, each on a connection of its own. */
export async function callEach(
  mesh: Mesh,
  from: PodRef,
  urls: string[],
  rate: number,
): Promise<Timed> {
  const more = ['--connections', '1', '--new-connections-per-request'];
  // The last call is due half an interval before the end, and no other call after it.
  const flags = { rps: rate, seconds: (urls.length - 0.5) / rate, more };
  const result = (await load(mesh, from, urls, flags)) as Timed;
  if (result.failed > 0 || result.sent < urls.length)
    throw new Error(`${result.failed} failed of ${result.sent}: ${result.failures[0]?.error}`);
  return result;
}
