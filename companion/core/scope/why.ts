import type { Catalog } from '../mesh/catalog.ts';
import { timeOf } from './condition.ts';
import type { Reason, ScopeHost } from './hosts.ts';

/** Why a host is in a scope, in one sentence. */
export function whyOf(catalog: Catalog, { entry, reason, edge, message }: ScopeHost): string {
  if (message) return message;
  const host = entry.slice(entry.indexOf('/') + 1);
  if (reason === 'virtualservice') {
    const rules = catalog.virtualServices.all(host);
    const names = rules.map((rule) => `${rule.madeFrom} ${rule.namespace}/${rule.name}`);
    const named = [...new Set(names)].sort().join(', ');
    return named
      ? `${named} has rules for it, and a host of the scope needs them`
      : sentences[reason];
  }
  if (reason === 'learned' && edge) {
    // Times of use are recorded to the hour, and read as its end.
    const hour = Math.floor(edge.lastSeen / hourMs) * hourMs;
    return `called since ${timeOf(edge.firstSeen)}, last in the hour from ${timeOf(hour)}`;
  }
  return sentences[reason];
}

const hourMs = 3_600_000;

const sentences: Record<Reason, string> = {
  sentinel: 'keeps a listener on every HTTP port, so that calls to unknown hosts reach the filter',
  gateway: 'the lazy egress gateway carries first calls',
  served: 'the workload serves it',
  pinned: 'spec.pins of the WorkloadScope says so',
  learned: 'it was called',
  virtualservice: 'a rule leads from it to a host of the scope',
  provider: 'proxies call it by themselves',
  eager: 'its first call could not be served',
  alias: 'another name of a host of the scope',
};
