import { afterAll, beforeAll, expect, test } from 'vitest';
import { deleteNamespaces, untilNarrowed } from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { enableNamespace } from '../../../box/product.ts';
import { enableClient } from './clients.ts';
import {
  conditionOf,
  noKnownCallFails,
  silenceSeconds,
  untilFull,
  untilNothingIs,
  untilReason,
} from './rig.ts';

const mesh = openMesh();
const system = 'lazyscope-system';
const [here, mute] = ['withdrawal', 'withdrawal-mute'] as const;
const clients = new Map<string, PodRef>();
const client = (namespace: string) => clients.get(namespace) ?? { namespace, name: '' };

/** The longest time from the moment in which the cause is certain until full configuration. */
const withinSeconds = 60;

beforeAll(async () => {
  await Promise.all(
    ([here, mute] as const).map(async (namespace) => {
      clients.set(namespace, await enableClient(mesh, namespace, 'enforce'));
    }),
  );
});

afterAll(async () => {
  await selectNodes(null);
  await deleteNamespaces(mesh, here, mute);
});

const patch = (args: string[], content: object) =>
  mesh.kubectl(['patch', ...args, '--type=merge', '-p', JSON.stringify(content)]);

/** A node selector that no node matches stops the DaemonSet. */
const selectNodes = (selector: Record<string, string> | null) =>
  patch(['daemonset', 'lazyscope-node', '-n', system], {
    spec: { template: { spec: { nodeSelector: selector } } },
  });

/**
 * A call to a host outside of the scope goes the way that Istio has for it, as in every scoped
 * mesh.
 */
test('the filter is deleted under load: full configuration is back, and no known call fails', async () => {
  await noKnownCallFails(mesh, client(here), async () => {
    const parts = ['envoyfilter/lazyscope', 'wasmplugin/lazyscope', 'wasmplugin/lazyscope-tcp'];
    await mesh.kubectl(['delete', '-n', here, ...parts]);
    await untilNothingIs(mesh, here, 'sidecars');
    await untilFull(mesh, client(here));
    await untilReason(mesh, here, 'FilterMissing');
  });
});

test('the filter is restored: the workload is narrowed again, with the learned hosts', async () => {
  await enableNamespace(mesh, here, 'enforce');
  await untilNarrowed(mesh, here, ['client']);
});

test('a selector takes the filter from a workload under load: full configuration is back, and no known call fails', async () => {
  await noKnownCallFails(mesh, client(mute), async () => {
    const nobody = { spec: { selector: { matchLabels: { app: 'nobody' } } } };
    await patch(['wasmplugin', 'lazyscope', '-n', mute], nobody);
    await untilReason(mesh, mute, 'FilterMissing');
    await untilFull(mesh, client(mute));
  });
});

test('missing companions withdraw no scope, and the condition says so until they return', async () => {
  // First calls have no answer now. The tests in outages.test.ts cover them.
  await noKnownCallFails(mesh, client(here), async () => {
    await selectNodes({ 'lazyscope.test/none': 'true' });
    await mesh.waitFor(
      `a withdrawal to wait in ${here}`,
      async () => (await conditionOf(mesh, here, 'WithdrawalPending'))?.reason === 'Deaf',
      silenceSeconds + withinSeconds,
    );
    expect((await conditionOf(mesh, here))?.reason).toBe('Enforced');
    await selectNodes(null);
    await mesh.rollout(system);
    await mesh.waitFor(
      `no withdrawal to wait in ${here}`,
      async () => (await conditionOf(mesh, here, 'WithdrawalPending')) === undefined,
      withinSeconds,
    );
  });
  await untilNarrowed(mesh, here, ['client']);
});
