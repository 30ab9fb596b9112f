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
 * Hosts that the proxies of a workload call by themselves. istiod names their clusters wherever
 * they are in the registry, but makes the clusters for imported hosts only, so that without them
 * authorization by a provider refuses every call, and spans and logs are lost. What is declared is
 * imported, used or not: whether a policy selects the workload may change at any moment.
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
 * The entries that import a service, visible or not: the registry of istiod is the judge, which may
 * know of Services in other clusters. What is no name of a host would make istiod refuse the whole
 * Sidecar.
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
 * As istiod checks names (pkg/config/validation/agent/validation.go, ValidateFQDN), without a lone
 * number.
 */
function isHost(text: string): boolean {
  const labels = text.split('.');
  return text.length <= 255 && labels.every(isLabel) && !/^\d+$/.test(labels.at(-1) ?? '');
}

function isLabel(text: string): boolean {
  return /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text);
}
