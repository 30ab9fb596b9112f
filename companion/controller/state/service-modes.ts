import { selects } from '../../core/mesh/label-selector.ts';
import { type Mode, parseMode } from '../../core/scope/condition.ts';
import type { Workload } from '../../core/scope/workload.ts';
import type { KubeObject } from '../../kube/object.ts';

/** Modes that annotations of Services ask for, for the workloads that they select. */
export type Overrides = {
  /** Says whether anything changed. */
  upsert(service: KubeObject): boolean;
  remove(service: KubeObject): boolean;
  of(workload: Workload): Mode | undefined;
};

export const modeAnnotation = 'lazyscope.io/mode';

type Override = { mode: Mode; selector: Record<string, string> };

/** Of several Services the most careful word counts. */
const careful: readonly Mode[] = ['off', 'observe', 'enforce'];

export function createOverrides(): Overrides {
  const byNamespace = new Map<string, Map<string, Override>>();

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
      const mode = parseMode(annotations?.[modeAnnotation]);
      const selector = (service.spec?.selector ?? {}) as Record<string, string>;
      // Without a selector it is not said whose pods are meant.
      if (!mode || Object.keys(selector).length === 0) return remove(service);
      const here = byNamespace.get(namespace) ?? new Map<string, Override>();
      byNamespace.set(namespace, here);
      const override = { mode, selector };
      const isSame = JSON.stringify(here.get(name)) === JSON.stringify(override);
      here.set(name, override);
      return !isSame;
    },
    of({ namespace, pods }) {
      const asked = new Set<Mode>();
      for (const { mode, selector } of byNamespace.get(namespace)?.values() ?? []) {
        if (pods.some(({ labels }) => selects(selector, labels))) asked.add(mode);
      }
      return careful.find((mode) => asked.has(mode));
    },
  };
}
