import type { Catalog } from '../mesh/catalog.ts';
import { selects } from '../mesh/label-selector.ts';
import type { ExportTo, HostRecord } from '../mesh/records.ts';
import type { DestinationRuleRecord, TlsPolicy } from '../mesh/rules.ts';

/** The caller: a rule may apply to some clients only. */
export type Client = { namespace: string; labels: Readonly<Record<string, string>> };

/** TLS settings for clients of one namespace; with a selector, for those with its labels. */
export type ClientRule = {
  selector: Client['labels'] | undefined;
  tls: TlsPolicy | undefined;
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
  return rules.flatMap(({ namespace, selector, tls }) =>
    selector && namespace !== from ? [] : { selector, tls },
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
  'namespace' | 'selector' | 'tls' | 'exportsWritten'
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
      if (!isApart) known.tls ??= rule.tls;
    }
    if (isApart) {
      const { namespace, selector, tls, exportsWritten } = rule;
      merged.push({ namespace, selector, tls, exportsWritten });
    }
  }
  return merged;
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
 * The mode of the rule for clients with these labels, else of the last rule for all clients
 * (pilot/pkg/model/sidecar.go, DestinationRule).
 */
export function tlsModeFor(
  rules: readonly ClientRule[],
  port: number,
  { labels }: Pick<Client, 'labels'>,
): string {
  const selected = rules.find(({ selector }) => selector && selects(selector, labels));
  const rule = selected ?? rules.findLast(({ selector }) => !selector);
  return tlsModeOf(rule?.tls, port);
}

function tlsModeOf(tls: TlsPolicy | undefined, port: number): string {
  return tls?.portModes[port] ?? tls?.mode ?? '';
}
