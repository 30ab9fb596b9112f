import { type Mtls, mtlsOf, serversViewOf, without } from '../../core/first-call/mtls.ts';
import { type Resolution, resolve, type UnknownCall } from '../../core/first-call/resolve.ts';
import { hostOfAuthority } from '../../core/mesh/authority.ts';
import type { HostRecord } from '../../core/mesh/records.ts';
import { readSidecar, sidecarOf } from '../../core/scope/sidecar.ts';
import { type Answered, answer } from '../nodes/answer.ts';
import type { Explained, Known } from './known.ts';

/** A call as a user names it; without a port, the first one of the host. */
export type Named = { host: string; port: number | undefined; tcp: boolean };

/** Where a call would go. Nothing is sent. */
export type CallPath = {
  call: UnknownCall;
  resolution: Resolution;
  mtls: Mtls;
  /** The entry of a scope that brings the host; undefined for what is not of the mesh. */
  entry: string | undefined;
  /** The controller's answer to the question of the filter if the host is not in the scope. */
  unknown: Answered;
  firstCall: { value: string; from: string };
};

/** Reads `cart`, `cart.shop:8080`, `http://cart/path`, `10.0.0.1:80`; else undefined. */
export function readNamed(text: string, tcp: boolean): Named | undefined {
  const bare = text.replace(/^[a-z]+:\/\//i, '').replace(/[/?#].*$/, '');
  const [, digits] = /:(\d{1,5})$/.exec(bare) ?? [];
  const host = hostOfAuthority(bare);
  if (host === undefined) return undefined;
  const byScheme = /^https:/i.test(text) ? 443 : undefined;
  return {
    host,
    port: digits ? Number(digits) : byScheme,
    tcp: tcp || /^(https|tcp):/i.test(text),
  };
}

/** The same decision as the controller's, by the same code, with a scope taken to be in force. */
export function callPathOf(mesh: Explained, known: Known, named: Named, now: number): CallPath {
  const { workload } = known;
  const { namespace } = workload;
  const { catalog } = mesh.state;
  const caller = { namespace, clusterDomain: mesh.config.clusterDomain };
  const record = recordNamed(mesh, namespace, named.host);
  const port = named.port ?? record?.ports[0]?.port ?? 80;
  const call = {
    tcp: named.tcp,
    authority: named.host,
    destination: `${addressOf(mesh, named.host, record)}:${port}`,
  };
  const resolution = resolve(catalog, call, caller);
  const [pod] = workload.pods;
  const client = { namespace, labels: pod?.labels ?? {} };
  const found = resolution.record;
  const owner = found?.namespace ?? resolution.virtualServices[0]?.namespace;
  return {
    call,
    resolution,
    mtls: found
      ? mtlsOf(
          serversViewOf(catalog, mesh.answers),
          { record: found, port, pod: resolution.pod },
          client,
        )
      : without('plain', 'no service behind the host'),
    entry: owner && `${owner}/${resolution.host}`,
    unknown: answer(narrowedState(mesh, known), mesh.answers, { namespace, pod }, call, now),
    firstCall: firstCallOf(mesh, known),
  };
}

/**
 * The state with the workload in mode enforce and a scope of its own that imports nothing: what the
 * filter would be told about a host that is not in the scope. The tables of the mesh are shared,
 * those that differ are not.
 */
function narrowedState({ state }: Explained, { workload, scope }: Known): Explained['state'] {
  const { namespace, name } = workload;
  const owner = { name: scope.name, uid: scope.uid || 'taken-to-be-there' };
  const ours = readSidecar(sidecarOf({ workload, owner, hosts: [], shadowed: undefined }));
  const others = [...state.sidecars.in(namespace)].filter((each) => each.name !== ours.name);
  const here = state.namespaces.get(namespace);
  const enabled = here && { ...here, label: here.label ?? 'enforce' };
  return {
    ...state,
    namespaces: new Map([...state.namespaces, ...(enabled ? [[namespace, enabled] as const] : [])]),
    scopes: {
      ...state.scopes,
      get: (...path) =>
        path[0] === namespace && path[1] === name
          ? { ...scope, mode: 'enforce' }
          : state.scopes.get(...path),
    },
    sidecars: {
      ...state.sidecars,
      in: (where) => (where === namespace ? [...others, ours] : state.sidecars.in(where)),
    },
    imports: { ...state.imports, since: () => undefined },
  };
}

/** The record that the name means on any port. */
function recordNamed({ state, config }: Explained, namespace: string, name: string) {
  const domain = `.svc.${config.clusterDomain}`;
  const full = name.endsWith('.svc') ? `${name}.${config.clusterDomain}` : `${name}${domain}`;
  const names = name.includes('.') ? [name, full] : [`${name}.${namespace}${domain}`, name];
  const { hosts } = state.catalog;
  const isSeen = (record: HostRecord) => state.catalog.isVisible(record, namespace);
  for (const each of names) {
    const record = hosts.exact(each).find(isSeen);
    if (record) return record;
  }
  return hosts.mostSpecific(name, isSeen)[0];
}

/** An address that DNS may give to the app; one of documentation (RFC 5737) if none is known. */
function addressOf({ state }: Explained, name: string, record: HostRecord | undefined): string {
  if (/^[\d.]+$|:/.test(name)) return name.includes(':') ? `[${name}]` : name;
  const written = record?.addresses.find((address) => !address.includes('/'));
  const endpoint = record && [...state.catalog.slicesOf(record)][0]?.endpoints[0]?.ip;
  const address = written ?? endpoint ?? record?.servers[0]?.address ?? '192.0.2.1';
  const isAddress = /^[\d.]+$|:/.test(address);
  return !isAddress ? '192.0.2.1' : address.includes(':') ? `[${address}]` : address;
}

function firstCallOf({ state, config }: Explained, { scope, workload }: Known) {
  const ofNamespace = state.namespaces.get(workload.namespace)?.firstCall;
  if (scope.firstCall)
    return { value: scope.firstCall, from: 'spec.firstCall of the WorkloadScope' };
  if (ofNamespace) return { value: ofNamespace, from: 'annotation of the namespace' };
  return { value: config.firstCall, from: 'setting of the controller' };
}
