import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { app, istio, pod, service, slice } from '../core/objects.ts';
import {
  always,
  type Controller,
  cart,
  hosts,
  kube,
  openShop,
  scope,
  settle,
  start,
} from './shop.ts';

const minutes = 60_000;
const life = { ttlMs: 40 * minutes, guard: { share: 1, count: 20 }, silenceMs: 5 * minutes };

/** `web` calls `cart`, and everything has been recorded. */
async function quiet(): Promise<Controller> {
  const controller = await start({ life });
  controller.report('web');
  controller.ask('web', 'cart');
  await vi.waitFor(() => expect(hosts()).toEqual([...always, cart]));
  for (let n = 0; n < 4; n++) await liveFor(controller, 1 * minutes);
  expect(await controller.passThrough()).toBe(0);
  return controller;
}

/** Time passes while both proxies report, each with what it used before. */
async function liveFor(controller: Controller, ms: number): Promise<void> {
  controller.pass(ms);
  for (const pod of ['web', 'cart']) controller.report(pod);
  await sleep(0);
  await controller.passThrough();
}

test('a pass evaluates no workload for which nothing changed, and each of them once in ten minutes', async () => {
  const controller = await quiet();
  const evaluated: number[] = [];
  for (let n = 0; n < 60; n++) {
    controller.pass(10_000);
    for (const pod of ['web', 'cart']) controller.report(pod);
    evaluated.push(await controller.passThrough());
  }
  const sum = evaluated.reduce((a, b) => a + b, 0);
  expect(sum).toBeGreaterThanOrEqual(2);
  expect(sum).toBeLessThanOrEqual(4);
});

test('a pod with the labels of a workload that is gone retires the scope of that workload', async () => {
  const controller = await quiet();
  const web = kube.all('Pod').find(({ metadata }) => metadata.name === 'web');
  if (web) await kube.delete({ group: '', version: 'v1', plural: 'pods' }, 'web', 'shop');
  for (let n = 0; n < 5; n++) {
    controller.pass(1 * minutes);
    controller.report('cart');
    await controller.lookThrough();
  }
  expect(scope()?.status.goneSince).toBeDefined();
  expect(await controller.passThrough()).toBe(0);
  const owner = { kind: 'StatefulSet', name: 'next' };
  kube.put(pod('shop/next', { ip: '10.1.0.8', labels: { app: 'web' }, owner }));
  await settle();
  expect(hosts()).toBeUndefined();
});

test('a pod that comes evaluates its own workload, not the others of its namespace', async () => {
  const controller = await quiet();
  for (const object of app('shop/new', '10.96.0.9', '10.1.0.9')) kube.put(object);
  await settle();
  const before = kube.writes.length;
  expect(scope('new')).toBeDefined();
  controller.report('new');
  await settle();
  expect(kube.writes.slice(before).filter((write) => !write.includes('new'))).toEqual([]);
});

test('a proxy that falls silent is noticed within the time in which it counts as live', async () => {
  const controller = await quiet();
  for (let n = 0; n < 10; n++) {
    controller.pass(10_000);
    controller.report('cart');
    await controller.passThrough();
  }
  expect(scope()?.status.proxies.summary).toBe('0/1');
});

test('a destination expires at its time although nothing else happens', async () => {
  const controller = await quiet();
  for (let n = 0; n < 60; n++) await liveFor(controller, 1 * minutes);
  expect(hosts()).toEqual(always);
});

const ports = {
  http: [{ name: 'http', port: 80 }],
  more: [
    { name: 'http', port: 80 },
    { name: 'http-more', port: 8090 },
  ],
  tcp: [{ name: 'tcp', port: 8090 }],
  sniffed: [{ name: 'x', port: 80 }],
};
const portSets = fc.constantFrom(...Object.values(ports));
const names = fc.constantFrom('shop/cart', 'shop/other', 'bank/db', 'bank/x');
const hostNames = names.map((path) => `${path.split('/').reverse().join('.')}.svc.cluster.local`);

/** Changes that may concern a scope, or not. */
const changes = fc.oneof(
  fc
    .record({
      path: names,
      ports: portSets,
      exportTo: fc.constantFrom(undefined, '.', 'bank', 'bank,shop'),
      externalName: fc.constantFrom(undefined, undefined, 'cart.shop.svc.cluster.local'),
    })
    .map(({ path, exportTo, externalName, ...rest }) =>
      service(path, {
        ...rest,
        ...(exportTo && { exportTo }),
        ...(externalName && { externalName }),
      }),
    )
    .chain((object) =>
      fc.constantFrom({ app: 'web' }, { app: 'none' }).map((selector) => ({
        ...object,
        spec: { ...object.spec, selector },
      })),
    ),
  fc
    .record({ host: hostNames, tls: fc.constantFrom('SIMPLE', 'ISTIO_MUTUAL', undefined) })
    .map(({ host, tls: mode }) =>
      istio('DestinationRule', 'shop/rule', { host, trafficPolicy: mode && { tls: { mode } } }),
    ),
  fc.record({ host: hostNames, to: hostNames }).map(({ host, to }) =>
    istio('VirtualService', 'shop/route', {
      hosts: [host, '*.example.com'],
      http: [{ route: [{ destination: { host: to } }] }],
    }),
  ),
  fc
    .record({ path: names, ips: fc.constantFrom<string[]>([], ['10.97.0.1']) })
    .map(({ path, ips }) => {
      const [namespace = '', name = ''] = path.split('/');
      return {
        apiVersion: 'multicluster.x-k8s.io/v1alpha1',
        kind: 'ServiceImport',
        metadata: { name, namespace },
        spec: { ips, ports: [{ port: 80 }] },
      };
    }),
  fc
    .record({ path: names, ip: fc.constantFrom('10.1.0.1', '10.1.0.2', '10.1.0.7') })
    .map(({ path, ip }) => slice(path, [{ ip }])),
);

type Step = { change: KubeObject | undefined; ms: number; reports: string[] };

const steps: fc.Arbitrary<Step> = fc.record({
  change: fc.option(changes, { nil: undefined, freq: 6 }),
  ms: fc.constantFrom(0, 10_000, 95_000, 400_000),
  reports: fc.subarray(['web', 'cart']),
});

test('property: after a pass, an evaluation of everything finds nothing to write', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(steps, { minLength: 1, maxLength: 4 }), async (plan) => {
      openShop();
      const controller = await quiet();
      for (const { change, ms, reports } of plan) {
        if (change) kube.put(change);
        controller.pass(ms);
        for (const pod of reports) controller.report(pod);
        await sleep(60);
        await controller.passThrough();
        const before = kube.writes.length;
        await controller.lookThrough();
        expect(kube.writes.slice(before)).toEqual([]);
      }
      await controller.stop();
    }),
    { numRuns: 25 },
  );
}, 60_000);
