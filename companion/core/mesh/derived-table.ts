import type { Derivation, Derived, Target } from './gateway-route.ts';
import { createMultimap } from './multimap.ts';
import type { HostRecord } from './records.ts';
import type { DestinationRuleRecord, VirtualServiceRecord } from './rules.ts';

/**
 * Rules that are made from an object and from what it refers to, in whatever order these come and
 * go.
 */
export type DerivedTable = {
  add(derivation: Derivation): void;
  remove(derivation: Derivation): void;
  /** Must be called when a Service or ServiceEntry came, changed or went. */
  targetChanged(target: Target): void;
  /** Whether rules are made for it. */
  isTarget(target: Target): boolean;
  size(): number;
};

export function createDerivedTable(options: {
  hostsOf(target: Target): readonly HostRecord[];
  virtualService(verb: 'add' | 'remove', rule: VirtualServiceRecord): void;
  destinationRule(verb: 'add' | 'remove', rule: DestinationRuleRecord): void;
}): DerivedTable {
  const { hostsOf, virtualService, destinationRule } = options;
  const byTarget = createMultimap<Derivation>();
  const made = new Map<Derivation, Derived[]>();

  function touch(verb: 'add' | 'remove', rule: Derived): void {
    if (rule.kind === 'virtualService') virtualService(verb, rule);
    else destinationRule(verb, rule);
  }

  function takeBack(derivation: Derivation): void {
    for (const rule of made.get(derivation) ?? []) touch('remove', rule);
    made.delete(derivation);
  }

  function make(derivation: Derivation): void {
    takeBack(derivation);
    const rules = derivation.derive(hostsOf);
    made.set(derivation, rules);
    for (const rule of rules) touch('add', rule);
  }

  return {
    add(derivation) {
      for (const target of derivation.targets) byTarget.add(keyOf(target), derivation);
      make(derivation);
    },
    remove(derivation) {
      for (const target of derivation.targets) byTarget.remove(keyOf(target), derivation);
      takeBack(derivation);
    },
    targetChanged(target) {
      for (const derivation of byTarget.get(keyOf(target))) make(derivation);
    },
    isTarget: (target) => byTarget.get(keyOf(target)).length > 0,
    size: () => made.size,
  };
}

function keyOf({ kind, namespace, name }: Target): string {
  return `${kind}/${namespace}/${name}`;
}
