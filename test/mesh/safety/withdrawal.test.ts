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

/** What is allowed between the moment in which it is certain and full configuration. */
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

/** A DaemonSet is stopped by a node selector that no node has. */
const selectNodes = (selector: Record<string, string> | null) =>
  patch(['daemonset', 'lazyscope-node', '-n', system], {
    spec: { template: { spec: { nodeSelector: selector } } },
  });

/** What is not in scope in these moments is called as in any scoped mesh: by what Istio does. */
test('the filter is deleted under load: full configuration is back, and no known call fails', async () => {
  await noKnownCallFails(mesh, client(here), async () => {
    const parts = ['envoyfilter/lazyscope', 'wasmplugin/lazyscope', 'wasmplugin/lazyscope-tcp'];
    await mesh.kubectl(['delete', '-n', here, ...parts]);
    await untilNothingIs(mesh, here, 'sidecars');
    await untilFull(mesh, client(here));
    await untilReason(mesh, here, 'FilterMissing');
  });
});

test('the filter is put back: the workload is narrowed again, with what it had learned', async () => {
  await enableNamespace(mesh, here, 'enforce');
  await untilNarrowed(mesh, here, ['client']);
});

test('the filter is taken from a workload by selectors, under load: the same', async () => {
  await noKnownCallFails(mesh, client(mute), async () => {
    const nobody = { spec: { selector: { matchLabels: { app: 'nobody' } } } };
    await patch(['wasmplugin', 'lazyscope', '-n', mute], nobody);
    await untilReason(mesh, mute, 'FilterMissing');
    await untilFull(mesh, client(mute));
  });
});

test('companions that are gone mean full configuration, and their return narrows again', async () => {
  // First calls have no answer now; what becomes of them is what the outage tests are about.
  await noKnownCallFails(mesh, client(here), async () => {
    const startedAt = Date.now();
    await selectNodes({ 'lazyscope.test/none': 'true' });
    await untilReason(mesh, here, 'ProxiesSilent', { seconds: silenceSeconds + withinSeconds });
    await untilFull(mesh, client(here));
    const condition = await conditionOf(mesh, here);
    const silentMs = Date.parse(condition?.lastTransitionTime ?? '') - startedAt;
    // Not before it is certain, give or take the heartbeat before.
    expect(silentMs).toBeGreaterThan((silenceSeconds - 31) * 1000);
    await selectNodes(null);
    await mesh.rollout(system);
    await untilNarrowed(mesh, here, ['client']);
  });
});
