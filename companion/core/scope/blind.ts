import { isHashed } from '../first-call/destination-rule.ts';
import { type Mtls, mtlsOf, type ServersView, serversViewOf } from '../first-call/mtls.ts';
import { holdsAddress } from '../mesh/address-index.ts';
import type { Catalog } from '../mesh/catalog.ts';
import { virtualServicesOf } from '../mesh/host-lookup.ts';
import type { HostRecord } from '../mesh/records.ts';
import { type EagerHost, eagerMax } from './eager.ts';

/**
 * Without the filter, nobody decides about an unknown call: Envoy sends it by mutual TLS to the
 * address that the app called if that is an address of a Service, and as the outbound policy says
 * otherwise (manifests/namespace-access-log). Every host for which that differs from full
 * configuration has to be known from the beginning.
 */
export type BlindCalls = {
  /** Ranges that hold the addresses of Services: `10.96.0.0/16`. */
  serviceCidrs: readonly string[];
  /** Addresses in them that are called in plain text. */
  plainAddresses: readonly string[];
};

type BlindInput = {
  namespace: string;
  rootNamespace: string;
  /** Labels of each pod that may call. */
  labels: readonly Readonly<Record<string, string>>[];
  blind: BlindCalls;
};

/** Visible hosts whose unknown calls Envoy would not serve as full configuration does. */
export function* blindHosts(catalog: Catalog, input: BlindInput): Generator<EagerHost> {
  const seen = lookOf(catalog, input);
  let found = 0;
  for (const record of recordsOf(catalog)) {
    const why = whyKnown(seen, record);
    if (!why || !catalog.isVisible(record, input.namespace)) continue;
    found += 1;
    if (found > eagerMax) return;
    yield { entry: `${record.namespace}/${record.host}`, message: why };
  }
}

/**
 * Addresses of Services that no scope of the namespace can have, because istiod does not show them
 * there, and that take no mutual TLS. Full configuration calls them in plain text.
 */
export function plainBeyondScope(
  catalog: Catalog,
  input: BlindInput,
): { address: string; host: string }[] {
  const seen = lookOf(catalog, input);
  const { serviceCidrs, plainAddresses } = input.blind;
  return recordsOf(catalog).flatMap((record) => {
    const addresses = record.addresses.filter(
      (address) =>
        serviceCidrs.some((range) => holdsAddress(range, address)) &&
        !plainAddresses.includes(address),
    );
    const isCalled = record.kind === 'service' && !record.isFar && addresses.length > 0;
    if (!isCalled || catalog.isVisible(record, input.namespace)) return [];
    if (!whyNotMtls(seen, record)) return [];
    return addresses.map((address) => ({ address, host: record.host }));
  });
}

/** Visible Services with an address outside of the ranges; every scope has them. */
export function servicesOutside(
  catalog: Catalog,
  { namespace, blind }: Pick<BlindInput, 'namespace' | 'blind'>,
): { address: string; host: string }[] {
  return recordsOf(catalog).flatMap((record) => {
    const address = addressOutside(blind, record);
    const isOne = record.kind === 'service' && !record.headless && address !== undefined;
    return isOne && catalog.isVisible(record, namespace) ? [{ address, host: record.host }] : [];
  });
}

const addressOutside = ({ serviceCidrs }: BlindCalls, { addresses }: HostRecord) =>
  addresses.find((address) => !serviceCidrs.some((range) => holdsAddress(range, address)));

type Look = BlindInput & { catalog: Catalog; view: ServersView<never>; isAlone: boolean };

function lookOf(catalog: Catalog, input: BlindInput): Look {
  const { namespace, rootNamespace } = input;
  // The identities of servers are not looked at, so no trust domain is needed.
  const view = serversViewOf(catalog, { trustDomain: '', rootNamespace });
  const isSeen = (record: HostRecord) => catalog.isVisible(record, namespace);
  const isAlone = !catalog.hasOtherNetworks() && ![...catalog.farHosts()].some(isSeen);
  return { ...input, catalog, view, isAlone };
}

function recordsOf({ hosts }: Catalog): HostRecord[] {
  return [...hosts.patterns()].flatMap((host) => hosts.exact(host));
}

function whyKnown(look: Look, record: HostRecord): string | undefined {
  const { catalog, namespace, blind } = look;
  if (record.kind === 'entry') return 'a ServiceEntry says how the host is reached';
  // An alias is imported with its host; any other ExternalName is outside of the mesh.
  if (record.external || record.aliasOf) return undefined;
  if (record.headless) return 'its addresses are those of pods, which only configuration knows';
  const outside = addressOutside(blind, record);
  if (outside) return `its address ${outside} is outside of ${blind.serviceCidrs.join(', ')}`;
  if (record.addresses.length === 0) return 'its addresses are not known here';
  const plain = record.addresses.find((address) => blind.plainAddresses.includes(address));
  if (plain) return `its address ${plain} is one of plainAddresses`;
  const [rule] = virtualServicesOf(catalog, record.host, namespace);
  if (rule) return `${rule.madeFrom} ${rule.namespace}/${rule.name} has rules for the host`;
  return whyNotMtls(look, record);
}

/** Why a server of the host does not take the mutual TLS that the address of the Service gets. */
function whyNotMtls(look: Look, record: HostRecord): string | undefined {
  const { namespace, view, isAlone } = look;
  for (const labels of distinct(look.labels)) {
    const client = { namespace, labels };
    for (const { port } of record.ports) {
      const mtls = mtlsOf(view, { record, port }, client);
      const why = ofSpeech(mtls, isAlone);
      if (why) return `port ${port}: ${why}`;
      if (isHashed(view.clientRules(record, namespace), port, client))
        return 'a DestinationRule chooses the server by a hash';
    }
  }
  return undefined;
}

function ofSpeech({ speech, reason }: Mtls, isAlone: boolean): string | undefined {
  if (speech === 'mtls') return undefined;
  if (speech !== 'nobody') return reason;
  return isAlone ? undefined : 'only another cluster may have endpoints';
}

function distinct(labels: BlindInput['labels']): BlindInput['labels'] {
  const byText = new Map(labels.map((each) => [JSON.stringify(each), each]));
  return byText.size === 0 ? [{}] : [...byText.values()];
}
