import { ruleTlsMode } from '../first-call/destination-rule.ts';
import type { Catalog } from '../mesh/catalog.ts';
import type { HostRecord } from '../mesh/records.ts';
import type { DestinationRuleRecord } from '../mesh/rules.ts';
import type { EagerHost } from './eager.ts';
import { recordsUnder } from './needed.ts';

type Callers = {
  namespace: string;
  rootNamespace: string;
  /** Labels of each pod that may call. */
  labels: readonly Readonly<Record<string, string>>[];
};

/**
 * Hosts whose first call, where it cannot be held (a WebSocket, gRPC, a large body, a connection),
 * nothing could carry as full configuration does: it would go in plain text, or to another address.
 */
export function* unservableHosts(catalog: Catalog, input: Callers): Generator<EagerHost> {
  yield* ownTlsHosts(catalog, input);
  for (const record of catalog.capturedServices()) {
    if (!catalog.isVisible(record, input.namespace)) continue;
    const message =
      'one of its pods is in the ambient mesh, and only the Envoy cluster of the host speaks HBONE';
    yield { entry: `${record.namespace}/${record.host}`, message };
  }
}

/** Hosts that a DestinationRule has spoken to by TLS that first calls do not speak. */
function* ownTlsHosts(
  catalog: Catalog,
  { namespace, labels, rootNamespace }: Callers,
): Generator<EagerHost> {
  const clients = labels.map((each) => ({ namespace, labels: each }));
  const seen = new Set<HostRecord>();
  for (const pattern of catalog.destinationRules.patterns()) {
    const rule = catalog.destinationRules.exact(pattern).find(setsTls);
    if (!rule) continue;
    for (const record of recordsUnder(catalog, pattern)) {
      if (seen.has(record) || !catalog.isVisible(record, namespace)) continue;
      const isOwn = record.ports.some(({ port }) =>
        clients.some((client) =>
          isOwnTls(record, ruleTlsMode(catalog, record, port, client, rootNamespace)),
        ),
      );
      if (!isOwn) continue;
      seen.add(record);
      const message = `DestinationRule ${rule.namespace}/${rule.name} sets TLS that only the Envoy cluster of the host speaks`;
      yield { entry: `${record.namespace}/${record.host}`, message };
    }
  }
}

function setsTls({ policy }: DestinationRuleRecord): boolean {
  const modes = policy ? [policy.mode, ...Object.values(policy.portModes)] : [];
  return modes.some((mode) => mode !== '' && mode !== 'DISABLE');
}

function isOwnTls({ external }: HostRecord, mode: string): boolean {
  return mode !== '' && mode !== 'DISABLE' && (external || mode !== 'ISTIO_MUTUAL');
}

/** Names that stand in a VirtualService alone: where they lead, only its routes say. */
export function* virtualHosts(catalog: Catalog, namespace: string): Generator<EagerHost> {
  for (const host of catalog.virtualServices.patterns()) {
    const isRecord = (record: HostRecord) => catalog.isVisible(record, namespace);
    if (host === '*' || [...recordsUnder(catalog, host)].some(isRecord)) continue;
    for (const rule of catalog.virtualServices.exact(host)) {
      if (!catalog.isVisible(rule, namespace)) continue;
      const message = `only VirtualService ${rule.namespace}/${rule.name} says where the host leads`;
      yield { entry: `${rule.namespace}/${host}`, message };
    }
  }
}
