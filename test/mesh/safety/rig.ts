import { hasCluster } from '../../../box/cluster-query.ts';
import { strictMtls, syntheticCluster } from '../../../box/fleet.ts';
import { startLoad } from '../../../box/load.ts';
import type { Mesh, PodRef } from '../../../box/mesh.ts';
import { installProduct } from '../../../box/product.ts';
import { appPorts, namespaceObject, workload } from '../../../box/shop.ts';
import { expectAllAnswered, leastSince, rateHere, startTraffic } from '../traffic.ts';

/** Seconds here are hours in production. companion/frame/config.ts describes the settings. */
const learningSeconds = 4;
/** The smallest value that the product accepts, because a filter reports each 30 s. */
export const silenceSeconds = 61;

/** The revision of the istiod that one of the tests adds. */
export const secondRevision = 'second';

export const safetySettings = {
  LAZYSCOPE_REVISIONS: secondRevision,
  LAZYSCOPE_LEARNING_WINDOW_SECONDS: String(learningSeconds),
  LAZYSCOPE_SILENCE_SECONDS: String(silenceSeconds),
  LAZYSCOPE_SHRINK_PERCENT: '100',
  LAZYSCOPE_SHRINK_COUNT: '2000',
};

/**
 * The namespace of all called servers. It is never enabled, and STRICT, so that a call in plain
 * text fails.
 */
const servers = 'servers';
const targets = 200;
/** The name of the one workload in each namespace of these tests. */
export const clientName = 'client';
export const sidecarName = `lazyscope-${clientName}`;

export const targetHost = (index: number) => `t${index}.${servers}.svc.cluster.local`;
export const targetEntry = (index: number) => `${servers}/${targetHost(index)}`;
export const targetUrl = (index: number, path = '/') =>
  `http://t${index}.${servers}:${appPorts.http}${path}`;

export async function installServers(mesh: Mesh): Promise<void> {
  const ports = [{ name: 'http', port: appPorts.http }];
  const targetService = (index: number) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: `t${index}`, namespace: servers },
    spec: { selector: { app: 'server' }, ports },
  });
  await mesh.apply([
    namespaceObject(servers),
    ...workload(servers, 'server', { replicas: 2 }),
    strictMtls(servers),
    ...Array.from({ length: targets }, (_, index) => targetService(index)),
  ]);
  await mesh.rollout(servers);
}

export const say = (line: string) => console.error(`safety: ${line}`);

export const installSystem = (mesh: Mesh) => installProduct(mesh, say, safetySettings);

/** Indexes of the destinations in scope. */
export const known = [0, 1];
const knownRps = 200;
const firstRps = 2;

const knownUrls = known.map((index) => targetUrl(index));
const rates = new Map<string, number>();

/** The rate of known calls that this machine can reach, measured once for each caller. */
export async function rateOf(mesh: Mesh, from: PodRef): Promise<number> {
  const rate =
    rates.get(from.name) ?? (await rateHere(mesh, from, knownUrls, { wanted: knownRps }));
  rates.set(from.name, rate);
  return rate;
}

/** Calls destinations in scope from before `act` until after it, and expects that no call fails. */
export async function noKnownCallFails(
  mesh: Mesh,
  from: PodRef,
  act: () => Promise<unknown>,
): Promise<void> {
  const rps = await rateOf(mesh, from);
  const running = await startLoad(mesh, from, knownUrls, { rps, more: ['--connections', '4'] });
  await act();
  const least = leastSince(running, rps);
  expectAllAnswered(await running.stop(), { least });
}

/**
 * Does the same with first calls beside the known calls. The first calls go to destinations from
 * index `at` on, which nobody has called yet.
 */
export async function noCallFails(
  mesh: Mesh,
  from: PodRef,
  { at, most }: { at: number; most: number },
  act: () => Promise<unknown>,
): Promise<void> {
  if (at + most > targets) throw new Error(`there are ${targets} targets, not ${at + most}`);
  const first = Array.from({ length: most }, (_, i) => targetUrl(at + i));
  const rps = await rateOf(mesh, from);
  const running = await startTraffic(mesh, from, { known: knownUrls, rps, first, firstRps });
  await act();
  const { known: knownResult, first: firstResult, least } = await running.stop();
  expectAllAnswered(knownResult, { least: least.known });
  expectAllAnswered(firstResult, { least: least.first });
}

type Condition = { type: string; status: string; reason: string; lastTransitionTime: string };

export async function conditionOf(mesh: Mesh, namespace: string, type = 'Scoped') {
  const scope = await mesh.get(['workloadscope', clientName, '-n', namespace]);
  const conditions = (scope.status?.conditions ?? []) as Condition[];
  return conditions.find((condition) => condition.type === type);
}

export async function untilReason(
  mesh: Mesh,
  namespace: string,
  reason: string,
  { type = 'Scoped', seconds = 180 } = {},
): Promise<void> {
  const what = `${type} of ${namespace} to be ${reason}`;
  await mesh.waitFor(
    what,
    async () => (await conditionOf(mesh, namespace, type))?.reason === reason,
    seconds,
  );
}

/** Waits until the proxy has full configuration again. */
export async function untilFull(mesh: Mesh, pod: PodRef): Promise<void> {
  await mesh.waitFor(`full configuration in ${pod.namespace}`, () =>
    hasCluster(mesh, pod, syntheticCluster),
  );
}

/** Names of the product's objects in a namespace, with their kind. */
export async function ours(mesh: Mesh, namespace: string): Promise<string[]> {
  const kinds = 'sidecars,workloadscopes,envoyfilters,wasmplugins';
  const names = await mesh.kubectl(['get', kinds, '-n', namespace, '-o', 'name']);
  return names.split('\n').filter(Boolean);
}

export async function untilNothingIs(mesh: Mesh, namespace: string, kind: string): Promise<void> {
  await mesh.waitFor(`the end of ${kind} in ${namespace}`, async () => {
    const names = await mesh.kubectl(['get', kind, '-n', namespace, '-o', 'name']);
    return names.trim() === '';
  });
}
