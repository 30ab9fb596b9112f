import { expect } from 'vitest';
import { createFleet, deleteNamespaces } from '../../../box/fleet.ts';
import type { Mesh } from '../../../box/mesh.ts';
import { countSecondTries, learnAnother, watchLateAnswers } from '../second-tries.ts';
import { expectAllAnswered, rateHere, startTraffic } from '../traffic.ts';
import { targetsNamespace, targetUrl } from './targets.ts';
import { podsOf } from './victims.ts';

const namespace = 'rollout';
const system = 'lazyscope-system';
/** The most first calls during one change, two each second. */
const firstMost = 290;
const firstRps = 2;

/**
 * A caller without a fallback: under STRICT mTLS its first calls succeed only with an answer. The
 * rate of its known calls is measured while `meanwhile` runs, which measures other loads.
 */
export async function createUnaidedCaller(mesh: Mesh, meanwhile: () => Promise<void>) {
  await createFleet(mesh, {
    ...{ namespace, clients: ['client'], targets: 0, server: false },
    fallback: 'passthrough',
  });
  const client = await mesh.pod(namespace, 'app=client');
  let known = 0;
  let fresh = 0;
  const learn = (take: () => number) =>
    learnAnother(mesh, client, 'client', take, targetsNamespace);
  await learn(() => {
    known = fresh++;
    return known;
  });
  const measured = rateHere(mesh, client, [targetUrl(known)], { wanted: 100 });
  const [rps] = await Promise.all([measured, meanwhile()]);

  /**
   * Expects that no known call and no first call fails while `replace` replaces every pod of these
   * apps. A first call may fail only if its answer was late.
   */
  async function expectAnswersWhile(apps: readonly string[], replace: () => Promise<void>) {
    const before = await namesOf(mesh, apps);
    expect(before.length).toBeGreaterThan(0);
    const lateAnswers = await watchLateAnswers(mesh, [client]);
    const first = Array.from({ length: firstMost }, (_, i) => targetUrl(fresh + i));
    fresh += firstMost;
    const traffic = await startTraffic(mesh, client, {
      ...{ known: [targetUrl(known)], rps, first, firstRps },
    });
    await replace();
    // Nodes and proxies may notice the end of a pod later than Kubernetes.
    await mesh.waitFor('the end of every earlier pod', async () => {
      const { items } = await mesh.get(['pods', '-n', system]);
      const names = items.map((pod: { metadata: { name: string } }) => pod.metadata.name);
      return before.every((name) => !names.includes(name));
    });
    await learn(() => fresh++);
    const { known: knownCalls, first: firstCalls, least } = await traffic.stop();
    expectAllAnswered(knownCalls, { least: least.known });
    const { failed, failures } = firstCalls;
    // The later first calls, each at another target, count as the second tries of failed ones.
    countSecondTries(
      failures.map(({ url, key }) => `${url} (${key})`),
      { late: await lateAnswers(), most: Math.ceil(firstCalls.sent / 50) },
    );
    const others = { ...firstCalls, failed: failed - failures.length, failures: [] };
    expectAllAnswered(others, { least: least.first });
  }

  return { expectAnswersWhile, remove: () => deleteNamespaces(mesh, namespace) };
}

async function namesOf(mesh: Mesh, apps: readonly string[]): Promise<string[]> {
  const selector = `app.kubernetes.io/name in (${apps.join(',')})`;
  return (await podsOf(mesh, system, selector)).map(({ metadata }) => metadata.name);
}
