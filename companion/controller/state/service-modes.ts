import { selects } from '../../core/mesh/label-selector.ts';
import { type Mode, modeLabel, parseMode } from '../../core/scope/condition.ts';
import type { Workload } from '../../core/scope/workload.ts';
import type { KubeObject } from '../../kube/object.ts';

/** Modes that annotations of Services ask for, for the workloads that they select. */
export type ServiceModes = {
  /** Returns whether anything changed. */
  upsert(service: KubeObject): boolean;
  remove(service: KubeObject): boolean;
  of(workload: Workload): AskedMode | undefined;
  /** Services whose annotation is not a mode. */
  unknown(): Iterable<{ namespace: string; name: string; text: string }>;
};

/** `unknown`: the annotation exists, but is not a mode. */
export type AskedMode = Mode | 'unknown';

type ServiceMode = { mode: AskedMode; text: string; selector: Record<string, string> };

/**
 * Of several Services the most careful mode counts; an unknown value may stand for any mode except
 * `off`.
 */
const careful: readonly AskedMode[] = ['off', 'unknown', 'observe', 'enforce'];

export function createServiceModes(): ServiceModes {
  const byNamespace = new Map<string, Map<string, ServiceMode>>();

  function remove({ metadata: { namespace = '', name } }: KubeObject): boolean {
    const here = byNamespace.get(namespace);
    const isKnown = here?.delete(name) ?? false;
    if (here?.size === 0) byNamespace.delete(namespace);
    return isKnown;
  }

  return {
    remove,
    upsert(service) {
      const { namespace = '', name, annotations } = service.metadata;
      const text = annotations?.[modeLabel];
      const selector = (service.spec?.selector ?? {}) as Record<string, string>;
      // Without a selector the Service does not say which pods it means.
      if (text === undefined || Object.keys(selector).length === 0) return remove(service);
      const here = byNamespace.get(namespace) ?? new Map<string, ServiceMode>();
      byNamespace.set(namespace, here);
      const asked: ServiceMode = { mode: parseMode(text) ?? 'unknown', text, selector };
      const isSame = JSON.stringify(here.get(name)) === JSON.stringify(asked);
      here.set(name, asked);
      return !isSame;
    },
    *unknown() {
      for (const [namespace, here] of byNamespace) {
        for (const [name, { mode, text }] of here)
          if (mode === 'unknown') yield { namespace, name, text };
      }
    },
    of({ namespace, pods }) {
      const asked = new Set<AskedMode>();
      for (const { mode, selector } of byNamespace.get(namespace)?.values() ?? []) {
        if (pods.some(({ labels }) => selects(selector, labels))) asked.add(mode);
      }
      return careful.find((mode) => asked.has(mode));
    },
  };
}
