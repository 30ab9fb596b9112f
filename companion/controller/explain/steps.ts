import { counted } from '../../core/mesh/counted.ts';
import { matchesHost } from '../../core/mesh/host-pattern.ts';
import { whyOf } from '../../core/scope/why.ts';
import type { CallPath } from './call.ts';
import type { Explained, Known } from './known.ts';

/** One step on the way of a call, in one sentence. */
export type Step = {
  step: 'caller' | 'name' | 'scope' | 'rules' | 'mtls' | 'first call' | 'learning';
  text: string;
};

/** The way of a call step by step, and where it ends. */
export function stepsOf(mesh: Explained, known: Known, path: CallPath): Step[] {
  const { resolution } = path;
  const steps: Step[] = [
    { step: 'caller', text: callerText(known) },
    { step: 'name', text: nameText(path) },
  ];
  if (resolution.kind === 'external') {
    const text = `unknown to the mesh: ${path.unknown.strategy}, where outboundTrafficPolicy decides; a scope changes nothing`;
    return [...steps, { step: 'first call', text }];
  }
  return [
    ...steps,
    { step: 'scope', text: scopeText(mesh, known, path) },
    { step: 'rules', text: rulesText(path) },
    { step: 'mtls', text: mtlsText(path) },
    { step: 'first call', text: firstCallText(known, path) },
    { step: 'learning', text: learningText(known, path) },
  ];
}

function callerText({ workload, mode, inForce, scoped }: Known): string {
  const { namespace, name, pods } = workload;
  const accounts = [...new Set(pods.map(({ serviceAccount }) => serviceAccount))].join(', ');
  const scope = inForce
    ? `a scope of ${counted(inForce.length, 'host')} is in force`
    : `full configuration${scoped ? ` (${scoped.replace(/\.$/, '')})` : ''}`;
  return `${namespace}/${name}, ${counted(pods.length, 'proxy')}, service account ${accounts}; ${mode === 'not enabled' ? mode : `mode ${mode}`}: ${scope}`;
}

function nameText({ call, resolution }: CallPath): string {
  const { kind, host, port, record, pod } = resolution;
  const what = call.tcp
    ? `a connection to ${call.destination}`
    : `${call.authority} on port ${port}`;
  if (kind === 'external') return `${what} is no host of the mesh`;
  if (kind === 'virtual') return `${what} stands in a VirtualService alone`;
  const object = `${kind === 'service' ? 'Service' : 'ServiceEntry'} ${record?.namespace}/${record?.name}`;
  const protocol = record?.ports.find((each) => each.port === port)?.protocol ?? 'not declared';
  const one = pod ? `, and means pod ${pod.name} alone` : '';
  return `${what} is ${host} of ${object} (${protocol})${one}`;
}

/** The host of the scope that brings an entry; wildcards bring all that they match. */
function broughtBy({ hosts }: Known, entry: string | undefined) {
  const [namespace, host = ''] = entry?.split('/') ?? [];
  return hosts.find((each) => {
    const [own, pattern = ''] = each.entry.split('/');
    return (own === namespace || own === '*') && matchesHost(pattern, host);
  });
}

function scopeText({ state }: Explained, known: Known, { entry }: CallPath): string {
  const found = broughtBy(known, entry);
  if (!found) {
    const excluded = entry && known.scope.excludes.includes(entry);
    return `${entry} is not in the scope${excluded ? ': spec.excludes keeps it out' : ''}`;
  }
  const why = `${found.reason}: ${whyOf(state.catalog, found)}`;
  const now = !known.inForce
    ? 'no scope is in force, so Envoy has its route anyway'
    : known.inForce.includes(found.entry)
      ? 'it is imported, so Envoy has its route'
      : 'the Sidecar in force does not have it yet';
  return `${found.entry} is in the scope (${why}); ${now}`;
}

function rulesText({ resolution }: CallPath): string {
  const { virtualServices } = resolution;
  if (virtualServices.length === 0) return 'no VirtualService has rules for it';
  return virtualServices
    .map((rule) => `${rule.madeFrom} ${rule.namespace}/${rule.name} has rules for it`)
    .join('; ');
}

function mtlsText({ mtls }: CallPath): string {
  const { speech, reason, identities } = mtls;
  const because = reason ? `: ${reason}` : '';
  const peers = identities.length > 0 ? `; servers are ${identities.join(', ')}` : '';
  return `${speeches[speech]}${because}${peers}`;
}

const speeches: Record<CallPath['mtls']['speech'], string> = {
  mtls: 'mutual TLS to all servers',
  mixed: 'mutual TLS to some servers, plain text to others',
  plain: 'plain text',
  own: 'TLS of a DestinationRule, which only the real cluster of the host speaks',
  tunnel: 'HBONE to some servers, which only the real cluster of the host speaks',
  nobody: 'no server is known in this cluster',
};

/** Whether Envoy has the route of the host now, so that no question is asked. */
function isRouted(known: Known, entry: string | undefined): boolean {
  const found = broughtBy(known, entry);
  return !known.inForce || (found !== undefined && known.inForce.includes(found.entry));
}

function firstCallText(known: Known, { entry, unknown, firstCall }: CallPath): string {
  const { strategy, reason } = unknown;
  const needed = isRouted(known, entry) ? 'not needed now; outside of a scope it would be ' : '';
  return `${needed}${strategy}: ${reason} (${firstCall.value} by the ${firstCall.from})`;
}

function learningText(known: Known, { entry, unknown }: CallPath): string {
  if (known.mode === 'not enabled') return 'nothing: the namespace is not enabled';
  if (known.mode === 'off') return 'nothing, in mode off';
  if (!unknown.learn) return 'the call would not put it into the scope';
  const learned = `${unknown.learn.namespace}/${unknown.learn.host}`;
  return broughtBy(known, entry)
    ? `the call counts as a use of ${learned}`
    : `the call puts ${learned} into the scope`;
}
