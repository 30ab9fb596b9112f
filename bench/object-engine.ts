import { pino } from 'pino';
import { Registry } from 'prom-client';
import { type Engine, startEngine } from '../companion/controller/engine.ts';
import { createControllerMetrics } from '../companion/controller/metrics.ts';
import type { Sink } from '../companion/controller/reconcile/sink.ts';
import { type ControllerConfig, controllerSettings } from '../companion/frame/config.ts';
import { readSettings } from '../companion/frame/settings.ts';
import type { Registry as Objects } from '../embedded/registry.ts';

/**
 * The engine of a controller over objects in memory, which it also writes to, without limits for
 * learning and writes. `now` is in milliseconds since the epoch. Returns when it has read all
 * objects.
 */
export async function startObjectEngine(
  objects: Objects,
  now: () => number,
  more: Partial<ControllerConfig> = {},
): Promise<Engine> {
  const sink: Sink = {
    mayWrite: () => true,
    async apply(object, subresource) {
      const { kind, metadata } = object;
      const before = objects.get(kind, metadata.namespace ?? '', metadata.name);
      const status = subresource ? object.status : before?.status;
      const merged = subresource ? { ...before, ...object, spec: before?.spec } : object;
      return objects.put({ ...merged, ...(status && { status }) });
    },
    async delete({ plural }, { namespace, name }) {
      const kind = plural === 'sidecars' ? 'Sidecar' : 'WorkloadScope';
      const found = objects.get(kind, namespace ?? '', name);
      if (found) objects.remove(found);
    },
    tell: async () => undefined,
  };
  const settings = readSettings(controllerSettings, { LAZYSCOPE_POD_NAME: 'controller-0' }, []);
  const engine = startEngine({
    kube: objects,
    ...{ sink, now },
    log: pino({ level: 'error' }),
    metrics: createControllerMetrics(new Registry()),
    config: { ...settings, learningWindowSeconds: 0, writesPerSecond: 1e9, ...more },
    pauseMs: 0,
  });
  await engine.synced;
  return engine;
}
