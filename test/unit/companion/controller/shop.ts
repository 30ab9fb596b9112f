import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach } from 'vitest';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { app } from '../core/objects.ts';
import { createFakeKube, type FakeKube } from './fake-kube.ts';
import { startController } from './harness.ts';

// The namespace `shop` in enforce, with the workloads `cart` and `web`, created anew for each test.

export type Controller = Awaited<ReturnType<typeof startController>>;

export const cart = 'shop/cart.shop.svc.cluster.local';
export const always = [
  'lazyscope-system/http-ports.lazyscope.internal',
  'lazyscope-system/lazyscope-egress.lazyscope-system.svc.cluster.local',
];

/** The API server of the current test. */
export let kube: FakeKube;
let running: Controller[];

beforeEach(openShop);

/** A new API server. Tests stop the controllers of the one before. */
export function openShop(): void {
  kube = createFakeKube();
  running = [];
  enable('enforce');
  for (const object of filterObjects('shop')) kube.put(object);
  for (const object of app('shop/cart', '10.96.0.1', '10.1.0.1')) kube.put(object);
  for (const object of app('shop/web', '10.96.0.2', '10.1.0.2')) kube.put(object);
}

afterEach(async () => {
  await Promise.all(running.map((controller) => controller.stop()));
});

/** The objects of `manifests/namespace` that a controller reads. */
export function filterObjects(namespace: string): KubeObject[] {
  const networking = 'networking.istio.io/v1alpha3';
  const extensions = 'extensions.istio.io/v1alpha1';
  return [
    { apiVersion: networking, kind: 'EnvoyFilter', metadata: { name: 'lazyscope', namespace } },
    { apiVersion: extensions, kind: 'WasmPlugin', metadata: { name: 'lazyscope', namespace } },
    { apiVersion: extensions, kind: 'WasmPlugin', metadata: { name: 'lazyscope-tcp', namespace } },
  ];
}

export function enable(mode?: string): void {
  const labels = mode ? { 'lazyscope.io/mode': mode } : {};
  kube.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels } });
}

export async function start(options?: Parameters<typeof startController>[1]): Promise<Controller> {
  const controller = await startController(kube, options);
  running.push(controller);
  return controller;
}

export function hosts(name = 'web'): string[] | undefined {
  const sidecar = kube.all('Sidecar').find(({ metadata }) => metadata.name === `lazyscope-${name}`);
  return sidecar?.spec.egress[0].hosts;
}

export function scope(name = 'web'): KubeObject | undefined {
  return kube.all('WorkloadScope').find(({ metadata }) => metadata.name === name);
}

export function reason(name?: string): string | undefined {
  return scope(name)?.status?.conditions[0].reason;
}

/**
 * Waits long enough for the controller to collect changes and write them. No write follows later.
 */
export async function settle(): Promise<void> {
  await sleep(150);
}
