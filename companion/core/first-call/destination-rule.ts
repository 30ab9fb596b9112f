import type { Catalog } from '../mesh/catalog.ts';
import { selects } from '../mesh/label-selector.ts';
import type { ExportTo, HostRecord } from '../mesh/records.ts';
import type { DestinationRuleRecord, TrafficPolicy } from '../mesh/rules.ts';

/** The caller: a rule may apply to some clients only. */
export type Client = { namespace: string; labels: Readonly<Record<string, string>> };

/** A traffic policy for clients of one namespace; with a selector, for those with its labels. */
export type ClientRule = {
  selector: Client['labels'] | undefined;
  policy: TrafficPolicy | undefined;
};

/**
 * TLS mode of the DestinationRule in force for a client, '' if no rule sets one.
 */
export function ruleTlsMode(
  catalog: Catalog,
  record: Pick<HostRecord, 'host' | 'namespace'>,
  port: number,
  client: Client,
  rootNamespace: string,
): string {
  return tlsModeFor(clientRules(catalog, record, client.namespace, rootNamespace), port, client);
}

/**
 * The DestinationRules in force for clients of a namespace, in the order of istiod
 * (pilot/pkg/model/push_context.go, destinationRule): the client's namespace, the host's, the root
 * namespace.
 */
export function clientRules(
  catalog: Catalog,
  { host, namespace }: Pick<HostRecord, 'host' | 'namespace'>,
  from: string,
  rootNamespace: string,
): ClientRule[] {
  const candidates = (owner: string, accept: (to: ExportTo) => boolean) =>
    catalog.destinationRules.mostSpecific(host, (rule) => {
      const to = rule.namespace === owner ? catalog.exportsOf(rule, from) : undefined;
      return to !== undefined && accept(to);
    });
  const own = candidates(from, (to) =>
    from === rootNamespace ? isPrivate(to, from) : isPublic(to) || isFor(to, from, '.'),
  );
  if (own.length > 0) return rulesFor(from, consolidate(own));
  for (const owner of [namespace, rootNamespace]) {
    // The most specific rule hides the others, even from a client that it is not exported to.
    const exported = candidates(owner, (to) => !isPrivate(to, owner)).filter((rule) => {
      const to = catalog.exportsOf(rule, from) ?? [];
      return isPublic(to) || isFor(to, from);
    });
    if (exported.length > 0) return rulesFor(from, consolidate(exported));
  }
  return [];
}

/** A rule for some clients is for clients of its own namespace. */
function rulesFor(from: string, rules: readonly Consolidated[]): ClientRule[] {
  return rules.flatMap(({ namespace, selector, policy }) =>
    selector && namespace !== from ? [] : { selector, policy },
  );
}

function isPublic(to: ExportTo): boolean {
  return to.length === 0;
}

function isFor(to: ExportTo, ...names: string[]): boolean {
  return names.some((name) => to.includes(name));
}

function isPrivate(to: ExportTo, owner: string): boolean {
  return to.length === 1 && isFor(to, owner, '.');
}

/** Rules of one host that istiod merged into one. */
type Consolidated = Pick<
  DestinationRuleRecord,
  'namespace' | 'selector' | 'policy' | 'exportsWritten' | 'isDerived'
>;

/**
 * Merges the rules of one namespace and host as istiod does (pilot/pkg/model/destination_rule.go,
 * mergeDestinationRule).
 */
function consolidate(rules: readonly DestinationRuleRecord[]): Consolidated[] {
  const merged: Consolidated[] = [];
  for (const rule of [...rules].sort(bySelectorAndAge)) {
    let isApart = true;
    for (const known of merged) {
      const { selector, exportsWritten } = known;
      const isOther = selector && rule.selector && !isSameSelector(selector, rule.selector);
      isApart = exportsWritten !== rule.exportsWritten || Boolean(isOther);
      if (!isApart) merge(known, rule);
    }
    if (isApart) {
      const { namespace, selector, policy, exportsWritten, isDerived } = rule;
      merged.push({ namespace, selector, policy, exportsWritten, ...(isDerived && { isDerived }) });
    }
  }
  return merged;
}

/** The older policy holds as a whole, but users' settings come before those of derived rules. */
function merge(known: Consolidated, rule: DestinationRuleRecord): void {
  if (!known.policy || !rule.policy || known.isDerived === rule.isDerived) {
    known.policy ??= rule.policy;
  } else if (rule.isDerived) known.policy = filled(known.policy, rule.policy);
  else known.policy = filled(rule.policy, known.policy);
}

/** The user's policy, with TLS settings of the derived one where it has none. */
function filled(user: TrafficPolicy, derived: TrafficPolicy): TrafficPolicy {
  const portModes = { ...derived.portModes, ...user.portModes };
  for (const [port, mode] of Object.entries(derived.portModes)) portModes[Number(port)] ||= mode;
  return { ...user, mode: user.mode || derived.mode, portModes };
}

function bySelectorAndAge(a: DestinationRuleRecord, b: DestinationRuleRecord): number {
  if (!a.selector !== !b.selector) return a.selector ? -1 : 1;
  if (a.created !== b.created) return a.created < b.created ? -1 : 1;
  return a.name < b.name ? -1 : 1;
}

function isSameSelector(a: Client['labels'], b: Client['labels']): boolean {
  return selects(a, b) && selects(b, a);
}

/**
 * The policy of the rule for clients with these labels, else of the last rule for all clients
 * (pilot/pkg/model/sidecar.go, DestinationRule).
 */
function policyFor(
  rules: readonly ClientRule[],
  { labels }: Pick<Client, 'labels'>,
): TrafficPolicy | undefined {
  const selected = rules.find(({ selector }) => selector && selects(selector, labels));
  return (selected ?? rules.findLast(({ selector }) => !selector))?.policy;
}

/**
 * The TLS mode of a port, '' if no rule sets one. The cluster of a port with settings of its own,
 * but none of TLS, takes nothing from the rule, its endpoints do: istiod leaves out that they speak
 * mutual TLS (destination_rule.go, MergeTrafficPolicy; pilot/pkg/xds/endpoints/mtls_checker.go,
 * trafficPolicyTLSModeForPort).
 */
export function tlsModeFor(
  rules: readonly ClientRule[],
  port: number,
  client: Pick<Client, 'labels'>,
): string {
  const { mode = '', portModes = {} } = policyFor(rules, client) ?? {};
  const own = portModes[port] ?? mode;
  if (own !== '') return own;
  return mode === '' || mode === 'ISTIO_MUTUAL' ? mode : 'DISABLE';
}

/** Whether a hash of the request chooses the server on a port. */
export function isHashed(
  rules: readonly ClientRule[],
  port: number,
  client: Pick<Client, 'labels'>,
): boolean {
  const { hashed = [] } = policyFor(rules, client) ?? {};
  return hashed === 'all' || hashed.includes(port);
}
