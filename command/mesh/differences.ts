import type { Known } from '../../companion/controller/explain/known.ts';
import { mtlsOf, serversViewOf } from '../../companion/core/first-call/mtls.ts';
import { counted } from '../../companion/core/mesh/counted.ts';
import type { HostRecord } from '../../companion/core/mesh/records.ts';
import { shadowedSidecar } from '../../companion/core/scope/sidecar.ts';
import { type Finding, someOf } from '../core/finding.ts';
import { visibleHosts } from './clusters.ts';
import type { Mesh } from './read.ts';

/**
 * The entries of KNOWN_ISSUES.md that the objects of a mesh make true for a namespace. Only hosts
 * that no scope of the namespace has can have a first call.
 */
export function differencesIn(mesh: Mesh, namespace: string, known: readonly Known[]): Finding[] {
  const scoped = new Set(known.flatMap(({ hosts }) => hosts.map(({ entry }) => entry)));
  const records = visibleHosts(mesh.state.catalog, namespace).filter(
    (record) => !scoped.has(`${record.namespace}/${record.host}`) && !isOurs(mesh, record),
  );
  const found: Record<RuleId, readonly string[]> = {
    'first-call-rules': ruledHosts(mesh, namespace, scoped),
    'first-call-entry': isRegistryOnly(mesh, known) ? records.filter(isHttpEntry).map(nameOf) : [],
    'first-call-protocol': records.filter(isBareHttp(mesh, namespace)).map(nameOf),
    'headless-disable': records.filter(isHeadlessPlain(mesh, namespace)).map(nameOf),
    'contested-port': records.filter(isContested(mesh)).map(nameOf),
    'held-rounds': holds(mesh, namespace, known) ? ['hold'] : [],
  };
  return Object.entries(found).flatMap(([id, names]) => {
    if (names.length === 0) return [];
    const { sentence, remedy, severity = 'differs' } = rules[id as RuleId];
    return [
      {
        ...{ id, severity, subject: namespace, remedy },
        sentence: sentence(names),
        page: `KNOWN_ISSUES.md#${id}`,
      },
    ];
  });
}

type Rule = {
  sentence(names: readonly string[]): string;
  remedy: string;
  severity?: Finding['severity'];
};

const hosts = (names: readonly string[]) => counted(names.length, 'host');

type RuleId =
  | 'first-call-rules'
  | 'first-call-entry'
  | 'first-call-protocol'
  | 'headless-disable'
  | 'contested-port'
  | 'held-rounds';

const rules: Record<RuleId, Rule> = {
  'first-call-rules': {
    sentence: (names) =>
      `a first gRPC call, upgrade or large body would not meet the VirtualService rules of ${hosts(names)}: ${someOf(names)}`,
    remedy: 'pin those that get such calls (lazyscope pin)',
  },
  'first-call-entry': {
    sentence: (names) =>
      `the mesh is REGISTRY_ONLY: a first request that cannot be held is refused (502) by ${hosts(names)}: ${someOf(names)}`,
    remedy: 'pin those that get gRPC calls, upgrades or large bodies (lazyscope pin)',
  },
  'first-call-protocol': {
    sentence: (names) =>
      `a first HTTP/2 request arrives as HTTP/2, later ones as HTTP/1.1, at ${hosts(names)} without a sidecar: ${someOf(names)}`,
    remedy: 'declare the port as http2 if the server speaks HTTP/2',
    severity: 'note',
  },
  'headless-disable': {
    sentence: (names) =>
      `a first call succeeds that full configuration fails, at ${counted(names.length, 'headless Service')} whose pods refuse mutual TLS: ${someOf(names)}`,
    remedy: 'add a DestinationRule with TLS mode DISABLE, as Istio requires',
  },
  'contested-port': {
    sentence: (names) =>
      `a first HTTP call is treated as a connection, past VirtualService rules, at ${hosts(names)} on a port that another Service declares as TCP: ${someOf(names)}`,
    remedy: 'move one of the Services to another port, or pin the HTTP host (lazyscope pin)',
  },
  'held-rounds': {
    sentence: () =>
      'each round of a held request appears in access logs and traces, with status 307',
    remedy: 'choose the first call direct, or pin the host',
    severity: 'note',
  },
};

function nameOf({ namespace, host }: HostRecord): string {
  return `${namespace}/${host}`;
}

function isOurs({ config }: Mesh, { namespace }: HostRecord): boolean {
  return namespace === config.namespace;
}

function ruledHosts({ state }: Mesh, namespace: string, scoped: ReadonlySet<string>): string[] {
  const { catalog } = state;
  const names = [...catalog.virtualServices.patterns()].flatMap((host) =>
    catalog.virtualServices
      .exact(host)
      .filter((rule) => catalog.isVisible(rule, namespace))
      .map((rule) => `${rule.namespace}/${host}`),
  );
  return [...new Set(names)].filter((name) => !scoped.has(name)).sort();
}

/** By the mesh configuration, or by the default Sidecar of a workload, which wins. */
function isRegistryOnly({ state, meshPolicies, config }: Mesh, known: readonly Known[]): boolean {
  return known.some(({ workload }) => {
    const { namespace } = workload;
    const sidecars = [namespace, config.rootNamespace].flatMap((name) => [
      ...state.sidecars.in(name),
    ]);
    const shadowed = shadowedSidecar(sidecars, workload, config.rootNamespace);
    const own: unknown = shadowed?.spec.outboundTrafficPolicy?.mode;
    return own === undefined ? meshPolicies.includes('REGISTRY_ONLY') : own === 'REGISTRY_ONLY';
  });
}

function isHttp({ protocol }: HostRecord['ports'][number]): boolean {
  return protocol === 'http' || protocol === 'sniffed';
}

function isHttpEntry({ kind, resolution, ports }: HostRecord): boolean {
  return kind === 'entry' && resolution !== 'NONE' && ports.some(isHttp);
}

function speechOf(mesh: Mesh, namespace: string, record: HostRecord, port: number) {
  const client = { namespace, labels: {} };
  return mtlsOf(serversViewOf(mesh.state.catalog, mesh.answers), { record, port }, client);
}

function isBareHttp(mesh: Mesh, namespace: string) {
  return (record: HostRecord) =>
    record.kind === 'service' &&
    !record.external &&
    record.ports.some(
      ({ protocol, port }) =>
        protocol === 'http' &&
        speechOf(mesh, namespace, record, port).reason === 'an endpoint has no sidecar',
    );
}

function isHeadlessPlain(mesh: Mesh, namespace: string) {
  return (record: HostRecord) =>
    record.kind === 'service' &&
    record.headless &&
    record.ports.some(({ port }) =>
      speechOf(mesh, namespace, record, port).reason.startsWith('a PeerAuthentication disables'),
    );
}

function isContested({ state }: Mesh) {
  return ({ ports }: HostRecord) =>
    ports.some((each) => isHttp(each) && state.catalog.tcpServicesOn(each.port).length > 0);
}

function holds({ state, config }: Mesh, namespace: string, known: readonly Known[]): boolean {
  const ofNamespace = state.namespaces.get(namespace)?.firstCall ?? config.firstCall;
  return known.some(({ scope }) => ['hold', 'auto'].includes(scope.firstCall ?? ofNamespace));
}
