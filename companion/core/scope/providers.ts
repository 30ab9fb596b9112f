import type { Catalog } from '../mesh/catalog.ts';
import { selects } from '../mesh/label-selector.ts';

export type ProviderHost = { entry: string; message: string };

export type ProvidersInput = {
  namespace: string;
  rootNamespace: string;
  /** Of each pod of the workload. */
  labels: readonly Readonly<Record<string, string>>[];
};

/**
 * Hosts that the proxies of a workload call by themselves. istiod names the clusters of all such
 * hosts but creates clusters only for imported hosts; without them, authorization by a provider
 * refuses every call, and spans and logs are lost. All declared hosts are imported, because a
 * policy may select the workload at any moment.
 */
export function* providerHosts(
  catalog: Catalog,
  { namespace, rootNamespace, labels }: ProvidersInput,
): Generator<ProviderHost> {
  const records = [...new Set([namespace, rootNamespace])].flatMap(catalog.referencesIn);
  const isFor = (selector: Readonly<Record<string, string>>) =>
    labels.some((each) => selects(selector, each));
  const references = [
    ...catalog.providersIn(namespace),
    ...records.filter(({ selector }) => isFor(selector)).flatMap((record) => record.references),
  ];
  for (const { service, message } of references) {
    for (const entry of entriesOf(catalog, service)) yield { entry, message };
  }
}

/**
 * The entries that import a service, visible or not: only istiod's registry is complete, because it
 * may have Services of other clusters. istiod would refuse the whole Sidecar for an entry that is
 * not a host name.
 */
function entriesOf(catalog: Catalog, service: string): string[] {
  const [first = '', second, ...rest] = service.toLowerCase().split('/');
  const host = second ?? first;
  if (rest.length > 0 || !isHost(host)) return [];
  if (second !== undefined) return isLabel(first) ? [`${first}/${host}`] : [];
  const records = catalog.hosts.exact(host);
  return records.length > 0
    ? records.map(({ namespace }) => `${namespace}/${host}`)
    : [`*/${host}`];
}

/**
 * Validates names as istiod does (pkg/config/validation/agent/validation.go, ValidateFQDN), except
 * that a number alone is refused.
 */
function isHost(text: string): boolean {
  const labels = text.split('.');
  return text.length <= 255 && labels.every(isLabel) && !/^\d+$/.test(labels.at(-1) ?? '');
}

function isLabel(text: string): boolean {
  return /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text);
}
