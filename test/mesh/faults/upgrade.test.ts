import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import { type Release, thisRelease } from '../../../box/artifacts/companion-image.ts';
import { createFleet, deleteNamespaces, learnTargets, untilImported } from '../../../box/fleet.ts';
import { type Helm, openHelm } from '../../../box/helm.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { applyBase, narrowAtOnce } from '../../../box/product.ts';
import { metricsOf, sumOf } from '../companion-metrics.ts';
import { expectAllAnswered, rateHere, startTraffic } from '../traffic.ts';
import { nextRelease } from './next-release.ts';
import { targetsNamespace, targetUrl } from './targets.ts';
import { createUnaidedCaller } from './unaided.ts';
import { podsOf, untilWell } from './victims.ts';

const mesh = openMesh();
const namespace = 'upgrade';
const system = 'lazyscope-system';
let helm: Helm;
let next: Release;
let client: PodRef;
let home: string;
let rps: number;
let unaided: Awaited<ReturnType<typeof createUnaidedCaller>>;
/** Each step makes one first call a second. The longest step takes more than a minute. */
const firstMost = 190;
let fresh = 2;

beforeAll(async () => {
  // The previous file may have ended with an outage.
  await untilWell(mesh);
  helm = await openHelm(mesh);
  const { release, archive } = await nextRelease(console.error);
  next = release;
  await mesh.loadArchive(archive);
  const fleet = { namespace, clients: ['client'], targets: 0, server: false, strict: true };
  await createFleet(mesh, fleet);
  client = await mesh.pod(namespace, 'app=client');
  home = (await mesh.get(['pod', client.name, '-n', namespace])).spec.nodeName;
  await learnTargets(mesh, client, 'client', [0, 1], targetsNamespace);
  unaided = await createUnaidedCaller(mesh, async () => {
    rps = await rateHere(mesh, client, [0, 1].map(targetUrl), { wanted: 200 });
  });
});

afterAll(async () => {
  await deleteNamespaces(mesh, namespace);
  await unaided?.remove();
  // Kustomize takes the objects back; Helm's records of its releases go.
  await applyBase(mesh, narrowAtOnce);
  await mesh.kubectl(['delete', 'secrets', '-n', system, '-l', 'owner=helm']);
  await helm.close();
});

/** Expects that no known call and no first call fails from before `act` until after it. */
async function expectNoFailureWhile(act: () => Promise<void>): Promise<void> {
  const first = Array.from({ length: firstMost }, (_, i) => targetUrl(fresh + i));
  const traffic = await startTraffic(mesh, client, {
    ...{ known: [0, 1].map(targetUrl), rps, first, firstRps: 1 },
  });
  // `act` makes first calls of its own, to the targets after these.
  fresh += firstMost;
  await act();
  await untilWell(mesh);
  const { known, first: firstCalls, least } = await traffic.stop();
  expectAllAnswered(known, { least: least.known });
  expectAllAnswered(firstCalls, { least: least.first });
}

/** The metrics of the node companion on the client's node. */
async function figures(): Promise<string> {
  const pods = await podsOf(mesh, system, 'app.kubernetes.io/name=lazyscope-node');
  const here = pods.find(({ spec }) => spec.nodeName === home);
  if (!here) throw new Error(`no node companion on ${home}`);
  return metricsOf(mesh, here);
}

const companions = (release: Release) => async () => {
  await helm.upgrade('lazyscope', {
    ...{ chart: 'lazyscope', namespace: system },
    values: { image: { tag: release.version }, controller: { env: narrowAtOnce } },
  });
  expect(await figures()).toContain(`version="${release.version}"`);
};

/** As createFleet sets it for a STRICT namespace. */
const direct = { fallback: 'direct', directCidrs: ['10.96.0.0/16', '10.244.0.0/16'] };

const filters = (release: Release) => async () => {
  const before = await filterOf(client);
  const filter = await readFile(join(release.dir, 'build', 'filter.wasm'));
  await helm.upgrade('lazyscope-filter', {
    ...{ chart: 'lazyscope-namespace', namespace },
    values: { filterSha256: createHash('sha256').update(filter).digest('hex'), filter: direct },
  });
  await mesh.waitFor('the proxy to have the other filter', async () => {
    return (await filterOf(client)) !== before;
  });
};

/** The state between the two steps of an upgrade: the namespace still pins the previous filter. */
async function startAnotherPod(): Promise<void> {
  const scale = (replicas: number) =>
    mesh.kubectl(['scale', 'deployment/client', `--replicas=${replicas}`, '-n', namespace]);
  await scale(2);
  await mesh.rollout(namespace);
  const pods = await podsOf(mesh, namespace, 'app=client');
  const name = pods.find(({ metadata }) => metadata.name !== client.name)?.metadata.name ?? '';
  await mesh.waitFor('the filter in a pod that starts', async () => {
    return (await filterOf({ namespace, name })) === (await filterOf(client));
  });
  fresh += 1;
  expect((await call(mesh, { namespace, name }, targetUrl(fresh))).status).toBe(200);
  const first = 'controller.kubernetes.io/pod-deletion-cost=-1';
  await mesh.kubectl(['annotate', 'pod', name, '-n', namespace, first]);
  await scale(1);
}

/**
 * An older release does not have the newer filter, and reports this in an Event in the namespace
 * that pins the filter.
 */
async function takeCompanionsBack(): Promise<void> {
  await companions(thisRelease)();
  await mesh.waitFor('the namespace to be told', async () => {
    const events = ['events', '-n', namespace, '--field-selector', 'reason=FilterUnknown'];
    return (await mesh.get(events)).items.length > 0;
  });
}

/** The file of the filter that the agent has fetched; the digest is the name of the file. */
async function filterOf(pod: PodRef): Promise<string> {
  const dump = await mesh.admin(pod, '/config_dump?resource=ecds_filters');
  return /[0-9a-f]{64}\.wasm/.exec(dump)?.[0] ?? '';
}

async function restartGateways(): Promise<void> {
  const gateways = ['deployment/lazyscope-egress', '-n', system];
  await mesh.kubectl(['rollout', 'restart', ...gateways]);
  await mesh.kubectl(['rollout', 'status', ...gateways]);
}

async function startPodAndRestartGateways(): Promise<void> {
  await Promise.all([startAnotherPod(), restartGateways()]);
}

/** The apps of which a step replaces every pod. */
const replaced = {
  companions: ['lazyscope-controller', 'lazyscope-node'],
  gateways: ['lazyscope-egress'],
};

test.each([
  ['companions first to the next release', () => companions(next), 'companions'],
  [
    'a pod that starts with the filter of this one, and a rollout of the gateways',
    () => startPodAndRestartGateways,
    'gateways',
  ],
  ['then the filters of a namespace', () => filters(next), 'nothing'],
  ['companions first back again', () => takeCompanionsBack, 'nothing'],
  ['and the filters after them', () => filters(thisRelease), 'nothing'],
] as const)(
  '%s: no request fails, and both releases understand each other',
  async (_, step, apps) => {
    const act = () => expectNoFailureWhile(step());
    // Two of the steps also show that first calls need no fallback during a rollout.
    if (apps === 'nothing') await act();
    else await unaided.expectAnswersWhile(replaced[apps], act);
    const before = await figures();
    fresh += 1;
    const { status } = await call(mesh, client, targetUrl(fresh));
    expect(status).toBe(200);
    await untilImported(mesh, namespace, 'client', [fresh], targetsNamespace);
    // The companion accepts the filter's reports, whether the filter or the companion is older.
    await mesh.waitFor('reports', async () => {
      const name = 'lazyscope_node_reports_total';
      return sumOf(await figures(), name) > sumOf(before, name) + 2;
    });
    expect(await figures()).not.toContain('reason="malformed"');
  },
);
