/**
 * The protocol that istiod would configure a proxy with full configuration to use for an endpoint.
 * It follows istiod's rules, independently of the core: mtls_checker.go, policy_applier.go,
 * push_context.go (destinationRule) and sidecar.go (DestinationRule).
 */

export type Rule = {
  namespace: string;
  name: string;
  host: string;
  mode: 'none' | 'empty' | 'DISABLE' | 'SIMPLE' | 'ISTIO_MUTUAL';
  portMode?: { port: number; mode: 'DISABLE' | 'SIMPLE' | 'ISTIO_MUTUAL' };
  selector?: string;
  exportTo?: readonly string[];
};

export type Policy = {
  namespace: string;
  name: string;
  app?: string;
  mode: 'UNSET' | 'STRICT' | 'PERMISSIVE' | 'DISABLE';
  portMode?: { port: number; mode: 'UNSET' | 'STRICT' | 'DISABLE' };
};

/** `captured`, `tunnel` and `waypoint` are what istiod sends HBONE to. */
export const endpointKinds = ['sidecar', 'bare', 'captured', 'tunnel', 'waypoint'] as const;
type EndpointKind = (typeof endpointKinds)[number];
export type Endpoint = { app: string; kind: EndpointKind; target: number };

export type Client = { namespace: string; app: string };

export const root = 'istio-system';

type Spoken = 'mutual TLS' | 'other TLS' | 'HBONE' | 'plain text';

/** `rules` must be in order of creation, the oldest first. */
export function spokenTo(
  endpoint: Endpoint,
  namespace: string,
  { rules, policies }: { rules: readonly Rule[]; policies: readonly Policy[] },
  { host, port, client }: { host: string; port: number; client: Client },
): Spoken {
  const rule = ruleFor(rules, host, namespace, client);
  const mode = rule?.mode === 'none' ? undefined : (ownMode(rule, port) ?? wholeMode(rule));
  if (mode === 'DISABLE') return 'plain text';
  if (mode === 'SIMPLE') return 'other TLS';
  if (mode === 'ISTIO_MUTUAL') return 'mutual TLS';
  if (!['sidecar', 'bare'].includes(endpoint.kind)) return 'HBONE';
  if (endpoint.kind === 'bare') return 'plain text';
  return peerMode(policies, namespace, endpoint) === 'DISABLE' ? 'plain text' : 'mutual TLS';
}

function ownMode(rule: Rule | undefined, port: number) {
  return rule?.portMode?.port === port ? rule.portMode.mode : undefined;
}

function wholeMode(rule: Rule | undefined) {
  return rule && rule.mode !== 'empty' && rule.mode !== 'none' ? rule.mode : undefined;
}

function ruleFor(rules: readonly Rule[], host: string, namespace: string, client: Client) {
  const exports = ({ selector, exportTo = [] }: Rule): readonly string[] =>
    selector ? ['.'] : exportTo;
  const isPrivate = (rule: Rule) =>
    exports(rule).length === 1 && ['.', rule.namespace].includes(exports(rule)[0] ?? '');
  const reaches = (rule: Rule) =>
    exports(rule).length === 0 || exports(rule).some((to) => [client.namespace, '*'].includes(to));
  const isLocal = (rule: Rule) =>
    exports(rule).length === 0 ||
    exports(rule).some((to) => ['.', '*', rule.namespace].includes(to));
  const inPlace = (place: string, fits: (rule: Rule) => boolean) => {
    const there = rules.filter((rule) => rule.namespace === place && fits(rule));
    const matching = there.filter((rule) =>
      rule.host.startsWith('*') ? host.endsWith(rule.host.slice(1)) : rule.host === host,
    );
    const longest = Math.max(...matching.map((rule) => rule.host.length));
    const exact = matching.filter((rule) => rule.host === host);
    return exact.length > 0 ? exact : matching.filter((rule) => rule.host.length === longest);
  };
  const own = inPlace(client.namespace, client.namespace === root ? isPrivate : isLocal);
  if (own.length > 0) return choose(own, exports, client);
  for (const place of [namespace, root]) {
    const found = inPlace(place, (rule) => !isPrivate(rule)).filter(reaches);
    if (found.length > 0) return choose(found, exports, client);
  }
  return undefined;
}

/**
 * Merges rules as mergeDestinationRule does, and selects one as SidecarScope.DestinationRule does.
 */
function choose(
  rules: readonly Rule[],
  exports: (rule: Rule) => readonly string[],
  client: Client,
) {
  const merged: Rule[] = [];
  const bySelector = [...rules.filter((r) => r.selector), ...rules.filter((r) => !r.selector)];
  for (const rule of bySelector) {
    let append = true;
    for (const each of merged) {
      append = [...exports(each)].sort().join() !== [...exports(rule)].sort().join();
      if (append) continue;
      if (each.selector && rule.selector && each.selector !== rule.selector) {
        append = true;
        continue;
      }
      if (each.mode !== 'none' || rule.mode === 'none') continue;
      each.mode = rule.mode;
      if (rule.portMode) each.portMode = rule.portMode;
    }
    if (append) merged.push({ ...rule });
  }
  const chosen = merged.find(
    ({ selector, namespace }) => selector === client.app && namespace === client.namespace,
  );
  return chosen ?? merged.filter(({ selector }) => !selector).at(-1);
}

function peerMode(policies: readonly Policy[], namespace: string, { app, target }: Endpoint) {
  const first = (fits: (policy: Policy) => boolean) => policies.find(fits);
  const ofMesh = first((each) => each.namespace === root && !each.app);
  const ofNamespace = first((each) => each.namespace === namespace && !each.app);
  const ofPods = first((each) => each.namespace === namespace && each.app === app);
  let mode = 'PERMISSIVE';
  for (const policy of [ofMesh, ofNamespace, ofPods]) {
    if (policy && policy.mode !== 'UNSET') mode = policy.mode;
  }
  const ofPort = ofPods?.portMode;
  return ofPort?.port === target && ofPort.mode !== 'UNSET' ? ofPort.mode : mode;
}
