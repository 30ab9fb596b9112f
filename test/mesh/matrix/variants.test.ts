import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import { deleteNamespaces, untilNarrowed } from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { enableNamespace } from '../../../box/product.ts';
import { danglingClusters } from '../../../companion/core/oracle/dangling.ts';
import { firstCallRequests, requestsOf } from './paths.ts';
import { type Kept, keepFull, lossesOf } from './proxies.ts';
import { urlOf, variantNamespaces } from './variant.ts';
import { rootRule, variantObjects, variants } from './variants.ts';

// Combinations of several operators' objects on one host.

const mesh = openMesh();
const { mine, theirs, third } = variantNamespaces;
const proxy = { namespace: mine, name: 'client' };
let client: PodRef;
let kept: Kept;

/** What the caller sees of each variant, by its name. */
type Outcomes = Map<string, object>;
let full: Outcomes;
let first: Outcomes;
let known: Outcomes;

async function outcomes(): Promise<Outcomes> {
  const found: Outcomes = new Map();
  for (const variant of variants) {
    const { status, headers, body } = await call(
      mesh,
      client,
      urlOf(variant),
      ...(variant.flags ?? []),
    );
    const { name = '', namespace = '', peerIdentity = '' } = status === 200 ? body : {};
    const route = headers?.['X-Route']?.join() ?? '';
    found.set(variant.name, { status, route, name, namespace, peerIdentity });
  }
  return found;
}

/** Requests so far that took no route of their own. */
async function strays(): Promise<number> {
  const requests = await requestsOf(mesh, proxy);
  const ways = Object.values(firstCallRequests(requests));
  return ways.reduce((sum, count) => sum + count, requests.get('PassthroughCluster') ?? 0);
}

beforeAll(async () => {
  await mesh.apply(variantObjects);
  for (const each of [mine, theirs, third]) await mesh.rollout(each);
  client = await mesh.pod(mine, 'app=client');
  kept = await keepFull(mesh, [proxy]);
  full = await outcomes();
  await enableNamespace(mesh, mine, 'enforce');
  await untilNarrowed(mesh, mine, ['client']);
  first = await outcomes();
  await mesh.waitFor('a round of calls of which each has its route', async () => {
    const before = await strays();
    known = await outcomes();
    return (await strays()) === before;
  });
});

afterAll(async () => {
  await kept?.forget();
  const { name, namespace } = rootRule;
  await mesh.kubectl(['delete', 'destinationrule', name, '-n', namespace, '--ignore-not-found']);
  await deleteNamespaces(mesh, ...Object.values(variantNamespaces));
});

describe.each(variants)('$what ($name)', ({ name, status = 200 }) => {
  test('is answered with full configuration', () =>
    expect(full.get(name)).toMatchObject({ status }));

  test('gives a first call the result of full configuration', () =>
    expect(first.get(name)).toEqual(full.get(name)));

  test('gives a known call the result of full configuration', () =>
    expect(known.get(name)).toEqual(full.get(name)));
});

test('everything imported is as with full configuration, and nothing else dangles', async () => {
  expect(await lossesOf(mesh, proxy, kept)).toEqual([]);
});

// istiod gives a mirror without a port the port of the route configuration, and that of port 80
// knows only Services with this port.
test('the mirror without a port dangles on port 80 with full configuration, too', async () => {
  const mirror = `outbound|80||inner.${third}.svc.cluster.local`;
  const dangling = danglingClusters(await kept.read(proxy));
  expect([...new Set(dangling.map(({ cluster }) => cluster))]).toEqual([mirror]);
});
