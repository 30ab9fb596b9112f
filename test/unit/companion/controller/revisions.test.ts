import { pino } from 'pino';
import { beforeEach, describe, expect, test } from 'vitest';
import { createNotices } from '../../../../companion/controller/reconcile/notices.ts';
import type { News, Sink } from '../../../../companion/controller/reconcile/sink.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { istio, pod } from '../core/objects.ts';
import {
  always,
  type Controller,
  cart,
  enable,
  filterObjects,
  hosts,
  kube,
  reason,
  scope,
  start,
} from './shop.ts';

// The pod of `web` belongs to Istio's revision `canary`, and the pod of `cart` to the default
// revision.

const revisions = ['canary'];
const cluster = 'outbound|80||cart.shop.svc.cluster.local';
const used = [{ cluster, secondsSinceSeen: 0 }];

beforeEach(() => {
  kube.put(pod('shop/web', { ip: '10.1.0.2', labels: { app: 'web' }, revision: 'canary' }));
});

const meshConfig = (mesh: string, name: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'istio-system' },
  data: { mesh },
});
const elsewhere = 'discoverySelectors: [{matchLabels: {team: elsewhere}}]';
const labelled = (object: KubeObject, revision: string): KubeObject => ({
  ...object,
  metadata: { ...object.metadata, labels: { 'istio.io/rev': revision } },
});

async function scopesOf(read = revisions) {
  const controller = await start({ revisions: read });
  controller.report('web', used);
  controller.report('cart');
  await controller.lookThrough();
  return controller;
}

describe('the mesh configuration', () => {
  test('of the revision of its pods decides whether a workload can be scoped', async () => {
    kube.put(meshConfig(elsewhere, 'istio-canary'));
    const controller = await scopesOf();
    expect([reason('web'), hosts('web')]).toEqual(['NotDiscovered', undefined]);
    expect(scope('web')?.status.conditions[0].message).toContain('(ConfigMap istio-canary)');
    expect(reason('cart')).toBe('Enforced');
    await kube.delete(
      { group: '', version: '', plural: 'configmaps' },
      'istio-canary',
      'istio-system',
    );
    await controller.lookThrough();
    expect([reason('web'), hosts('web')]).toEqual(['Enforced', [...always, cart]]);
  });

  test('of the default revision does not count for a revision that has its own', async () => {
    kube.put(meshConfig(elsewhere, 'istio'));
    kube.put(meshConfig('', 'istio-canary'));
    await scopesOf();
    expect([reason('web'), reason('cart')]).toEqual(['Enforced', 'NotDiscovered']);
  });

  test('of the default revision counts for a revision whose configuration is not read', async () => {
    kube.put(meshConfig(elsewhere, 'istio'));
    kube.put(meshConfig('', 'istio-canary'));
    await scopesOf([]);
    expect(reason('web')).toBe('NotDiscovered');
    expect(scope('web')?.status.conditions[0].message).toContain('(ConfigMap istio)');
  });
});

describe('a namespace gets an Event', () => {
  async function toldOf({
    state,
    metrics,
  }: Pick<Controller, 'state' | 'metrics'>): Promise<string[]> {
    const told: string[] = [];
    const tell = async (_about: KubeObject, { reason: why, message }: News) => {
      told.push(`${why}: ${message}`);
    };
    await createNotices({
      log: pino({ level: 'silent' }),
      state,
      sink: { mayWrite: () => true, tell } as Sink,
      metrics,
    }).look();
    return told;
  }

  test('that the mesh configuration of a revision of its pods is not read', async () => {
    const told = await toldOf(await scopesOf([]));
    expect(told).toEqual([
      expect.stringMatching(/^UnreadRevision: .* canary .*LAZYSCOPE_REVISIONS/),
    ]);
    expect(await toldOf(await scopesOf())).toEqual([]);
  });

  test('not about the default revision while its pods belong to another', async () => {
    kube.put(meshConfig(elsewhere, 'istio'));
    kube.put(meshConfig('', 'istio-canary'));
    kube.put(pod('shop/cart', { ip: '10.1.0.1', labels: { app: 'cart' }, revision: 'canary' }));
    expect(await toldOf(await scopesOf())).toEqual([]);
  });

  test('without pods, by the revision that its label names', async () => {
    kube.put(meshConfig(elsewhere, 'istio'));
    kube.put(meshConfig('', 'istio-canary'));
    const pods = { group: '', version: '', plural: 'pods' };
    for (const name of ['web', 'cart']) await kube.delete(pods, name, 'shop');
    expect(await toldOf(await scopesOf())).toEqual([
      expect.stringMatching(/^NotDiscovered: .*ConfigMap istio\)/),
    ]);
    const labels = { 'lazyscope.io/mode': 'enforce', 'istio.io/rev': 'canary' };
    kube.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels } });
    expect(await toldOf(await scopesOf())).toEqual([]);
    enable('enforce');
  });
});

const selecting = istio('Sidecar', 'shop/mine', { workloadSelector: { labels: { app: 'web' } } });
const ofNamespace = istio('Sidecar', 'shop/default', { egress: [{ hosts: ['bank/*'] }] });
const ofMesh = istio('Sidecar', 'istio-system/default', { egress: [{ hosts: ['bank/*'] }] });

test.each<[string, KubeObject, string, string, string[] | undefined]>([
  ['a Sidecar that selects it', selecting, 'canary', 'ForeignSidecar', undefined],
  ['a Sidecar that selects it', selecting, 'default', 'Enforced', [...always, cart]],
  ['a default Sidecar of its namespace', ofNamespace, 'canary', 'Enforced', always],
  ['a default Sidecar of its namespace', ofNamespace, 'default', 'Enforced', [...always, cart]],
  ['a default Sidecar of the mesh', ofMesh, 'canary', 'Enforced', always],
  ['a default Sidecar of the mesh', ofMesh, 'default', 'Enforced', [...always, cart]],
])('%s counts for a workload if its label names no other revision: %#', async (...row) => {
  const [, object, revision, why, imported] = row;
  kube.put(labelled(object, revision));
  await scopesOf();
  expect([reason('web'), hosts('web')]).toEqual([why, imported]);
});

test('a filter for one revision is missing under another', async () => {
  const [filter] = filterObjects('shop');
  if (!filter) throw new Error('no filter');
  kube.put(labelled(filter, 'canary'));
  await scopesOf();
  expect([reason('web'), reason('cart')]).toEqual(['Enforced', 'FilterMissing']);
});

test('a PeerAuthentication for one revision says nothing about pods under another', async () => {
  const controller = await scopesOf();
  const ask = () => controller.ask('web', 'cart').strategy;
  const disabled = istio('PeerAuthentication', 'shop/plain', { mtls: { mode: 'DISABLE' } });
  kube.put(labelled(disabled, 'canary'));
  expect(ask()).toBe('direct');
  kube.put(labelled(disabled, 'default'));
  expect(ask()).not.toBe('direct');
});
