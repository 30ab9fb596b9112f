import { afterEach, describe, expect, it, vi } from 'vitest';
import { namespaceObject, podObject, testMetrics } from '../../../../box/played/fixtures.ts';
import type { Kube, WatchHandler } from '../../../../companion/kube/object.ts';
import { createPods, watchPods } from '../../../../companion/node/pods.ts';

function setUp() {
  const gone: string[] = [];
  const switched: string[] = [];
  const { metrics, value } = testMetrics();
  const pods = createPods({
    metrics,
    onGone: (pod) => gone.push(pod.name),
    onMode: (pod) => switched.push(pod.name),
  });
  pods.upsertNamespace(namespaceObject('shop', 'observe'));
  return { pods, gone, switched, value };
}

describe('the source of a request', () => {
  it('is the pod with that address, also when it is written as mapped IPv6', () => {
    const { pods } = setUp();
    pods.upsertPod(podObject('cart', '10.1.0.5'));
    expect(pods.find('::ffff:10.1.0.5')).toMatchObject({ pod: { name: 'cart' } });
    expect(pods.find('10.1.0.6')).toEqual({ refused: 'unknown-source' });
  });

  it.each(['of', 'enforced', ''])('is served while its namespace has the mode %j', (slip) => {
    const { pods, gone, switched } = setUp();
    pods.upsertPod(podObject('cart', '10.1.0.5'));
    pods.upsertNamespace(namespaceObject('shop', slip));
    expect(pods.find('10.1.0.5')).toHaveProperty('pod');
    // The same holds after a restart, when no previous mode is known.
    pods.removeNamespace(namespaceObject('shop', slip));
    pods.upsertNamespace(namespaceObject('shop', slip));
    expect(pods.find('10.1.0.5')).toHaveProperty('pod');
    expect({ gone, switched }).toEqual({ gone: ['cart'], switched: [] });
  });

  it('is refused while its namespace has no mode', () => {
    const { pods } = setUp();
    pods.upsertPod(podObject('cart', '10.1.0.5'));
    // A single workload of the namespace may still be enabled.
    pods.upsertNamespace(namespaceObject('shop', 'off'));
    expect(pods.find('10.1.0.5')).toHaveProperty('pod');
    pods.removeNamespace(namespaceObject('shop', 'enforce'));
    expect(pods.find('10.1.0.5')).toEqual({ refused: 'namespace-not-enabled' });
  });

  it('stays when its namespace goes from one enabled mode to another, which is reported once', () => {
    const { pods, gone, switched } = setUp();
    pods.upsertPod(podObject('cart', '10.1.0.5'));
    pods.upsertNamespace(namespaceObject('shop', 'observe'));
    expect(switched).toEqual([]);
    pods.upsertNamespace(namespaceObject('shop', 'enforce'));
    expect({ gone, switched }).toEqual({ gone: [], switched: ['cart'] });
  });

  it('is never a pod of the host network: it shares its address with everything there', () => {
    const { pods } = setUp();
    const spec = { hostNetwork: true, containers: [{ name: 'istio-proxy' }] };
    pods.upsertPod(podObject('agent', '192.168.0.1', { spec }));
    expect(pods.find('192.168.0.1')).toEqual({ refused: 'unknown-source' });
  });

  it.each(['Succeeded', 'Failed'])('is never a pod that has %s', (phase) => {
    const { pods, gone } = setUp();
    pods.upsertPod(podObject('job', '10.1.0.5'));
    pods.upsertPod(podObject('job', '10.1.0.5', { status: { phase, podIP: '10.1.0.5' } }));
    expect(pods.find('10.1.0.5')).toEqual({ refused: 'unknown-source' });
    expect(gone).toEqual(['job']);
  });

  it('is the newer pod if its address was reused before the old pod was deleted', () => {
    const { pods } = setUp();
    pods.upsertPod(podObject('old', '10.1.0.5'));
    pods.upsertPod(podObject('new', '10.1.0.5'));
    pods.removePod(podObject('old', '10.1.0.5'));
    expect(pods.find('10.1.0.5')).toMatchObject({ pod: { name: 'new' } });
  });

  it('may have any address of a dual-stack pod', () => {
    const { pods } = setUp();
    const status = { phase: 'Running', podIPs: [{ ip: '10.1.0.5' }, { ip: 'fd00::5' }] };
    pods.upsertPod(podObject('cart', '10.1.0.5', { status }));
    expect(pods.find('fd00::5')).toMatchObject({ pod: { name: 'cart' } });
  });
});

it('pods of one template have the same caller key, and other pods have their own', () => {
  const { pods } = setUp();
  const ownerReferences = [
    { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'rs', uid: 'rs-1', controller: true },
  ];
  for (const [name, address] of [
    ['a', '10.1.0.1'],
    ['b', '10.1.0.2'],
  ] as const) {
    pods.upsertPod(
      podObject(name, address, {
        metadata: { name, namespace: 'shop', uid: name, ownerReferences },
      }),
    );
  }
  pods.upsertPod(podObject('alone', '10.1.0.3'));
  const keys = Array.from(pods.enabled(), ({ callerKey }) => callerKey);
  expect(keys[0]).toBe(keys[1]);
  expect(new Set(keys).size).toBe(2);
});

it('the node knows at most the bounded number of pods, and counts the others', async () => {
  const { pods, value } = setUp();
  for (let i = 0; i < 1030; i++) pods.upsertPod(podObject(`p${i}`, `10.1.${i >> 8}.${i & 255}`));
  expect(await value('node_pods')).toBe(1024);
  expect(await value('node_pods_overflow_total')).toBe(6);
  expect(pods.find('10.1.4.5')).toEqual({ refused: 'unknown-source' });
});

describe('a namespace whose label goes', () => {
  function watched() {
    vi.useFakeTimers();
    const { pods, gone } = setUp();
    let namespaces: WatchHandler | undefined;
    const watch: Kube['watch'] = ({ plural }, handler) => {
      if (plural === 'namespaces') namespaces = handler;
      return { synced: Promise.resolve(), stop: () => undefined };
    };
    watchPods({ watch }, 'node-1', pods);
    pods.upsertPod(podObject('cart', '10.1.0.5'));
    return { pods, gone, namespaces: namespaces as WatchHandler };
  }
  afterEach(() => void vi.useRealTimers());

  it('is served until its proxies have full configuration again', () => {
    const { pods, gone, namespaces } = watched();
    namespaces.remove(namespaceObject('shop', 'observe'));
    vi.advanceTimersByTime(59_999);
    expect(pods.find('10.1.0.5')).toHaveProperty('pod');
    vi.advanceTimersByTime(1);
    expect(pods.find('10.1.0.5')).toEqual({ refused: 'namespace-not-enabled' });
    expect(gone).toEqual(['cart']);
  });

  it('stays when the label is back in time', () => {
    const { pods, gone, namespaces } = watched();
    namespaces.remove(namespaceObject('shop', 'observe'));
    vi.advanceTimersByTime(30_000);
    namespaces.upsert(namespaceObject('shop', 'enforce'));
    vi.advanceTimersByTime(60_000);
    expect(pods.find('10.1.0.5')).toHaveProperty('pod');
    expect(gone).toEqual([]);
  });
});
