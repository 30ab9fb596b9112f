import { clusterNames, failuresOf, type LoadResult, load, strictMtls } from '../../../box/fleet.ts';
import type { Mesh, PodRef } from '../../../box/mesh.ts';
import { installProduct } from '../../../box/product.ts';
import { appPorts, namespaceObject, workload } from '../../../box/shop.ts';

/** Times in seconds that are hours in real life; what they mean is in companion/frame/config.ts. */
const learningSeconds = 4;
/** The least that there is: a filter speaks every 30 s. */
export const silenceSeconds = 61;

/** Of the istiod that one of the tests adds. */
export const secondRevision = 'second';

export const safetySettings = {
  LAZYSCOPE_REVISIONS: secondRevision,
  LAZYSCOPE_LEARNING_WINDOW_SECONDS: String(learningSeconds),
  LAZYSCOPE_SILENCE_SECONDS: String(silenceSeconds),
  LAZYSCOPE_SHRINK_PERCENT: '100',
  LAZYSCOPE_SHRINK_COUNT: '2000',
};

/** Where all calls go: never enabled, and STRICT, so that a call in plain text fails. */
const servers = 'servers';
const targets = 120;
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

/** Destinations in scope. */
export const known = [0, 1];
/** Rates: most requests go to what is in scope, some are first calls. */
const knownRps = 200;
const firstRps = 2;

/** Requests to destinations in scope. */
export function knownTraffic(mesh: Mesh, from: PodRef, seconds: number): Promise<LoadResult> {
  const flags = ['--ok-status', '200', '--connections', '4'];
  const urls = known.map((index) => targetUrl(index));
  const running = load(mesh, from, urls, { rps: knownRps, seconds, more: flags });
  running.catch(() => {});
  return running;
}

/**
 * The same, and as many first calls as there is time for, from `firstAt` on; no destination is called
 * twice by these.
 */
export function traffic(
  mesh: Mesh,
  from: PodRef,
  seconds: number,
  firstAt: number,
): Promise<LoadResult[]> {
  const count = Math.min(firstRps * seconds, targets - firstAt);
  const urls = Array.from({ length: count }, (_, i) => targetUrl(firstAt + i));
  const more = ['--ok-status', '200', '--connections', '1'];
  const first = load(mesh, from, urls, { rps: firstRps, seconds: count / firstRps, more });
  const running = Promise.all([knownTraffic(mesh, from, seconds), first]);
  running.catch(() => {});
  return running;
}

/** What an assertion shows of loads of which no request may fail. */
export function outcomeOf(results: LoadResult[]) {
  const sent = results.reduce((sum, result) => sum + result.sent, 0);
  const ok = results.reduce((sum, result) => sum + result.ok, 0);
  return { lost: sent - ok, failures: results.flatMap((result) => failuresOf(result).failures) };
}

export const nothingFailed = { lost: 0, failures: [] };

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
  { type = 'Scoped', seconds = 90 } = {},
): Promise<void> {
  const what = `${type} of ${namespace} to be ${reason}`;
  await mesh.waitFor(
    what,
    async () => (await conditionOf(mesh, namespace, type))?.reason === reason,
    seconds,
  );
}

/** The proxy has the whole mesh again. */
export async function untilFull(mesh: Mesh, pod: PodRef, seconds = 30): Promise<void> {
  await mesh.waitFor(
    `full configuration in ${pod.namespace}`,
    async () => (await clusterNames(mesh, pod)).some((name) => name.includes('synthetic-')),
    seconds,
  );
}

/** Names of our objects in a namespace, by kind. */
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
