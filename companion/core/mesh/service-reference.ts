import type { KubeObject } from '../../kube/object.ts';
import { namespaceOf } from './records.ts';

/**
 * Services that proxies call by themselves because configuration names them. No app calls them, so
 * nothing is learned about them.
 */
export type ServiceReference = {
  /**
   * `host`, or `namespace/host`, as istiod takes it (pilot/pkg/model/telemetry_logging.go,
   * LookupCluster).
   */
  service: string;
  /** The object that names it. */
  message: string;
};

/** An object that names such services, and the sidecars of its namespace that it applies to. */
export type ReferenceRecord = {
  namespace: string;
  /** No labels mean all. */
  selector: Readonly<Record<string, string>>;
  references: readonly ServiceReference[];
};

/** Kinds whose objects may name such services. */
export const referringKinds = [
  'EnvoyFilter',
  'WasmPlugin',
  'TrafficExtension',
  'RequestAuthentication',
];

/**
 * The services of `extensionProviders`, whatever their type: each names its service in a field of
 * that name, the OpenTelemetry provider a second one in its sampler (istio.io/api,
 * mesh/v1alpha1/config.proto).
 */
export function providerReferences(providers: unknown, configMap: string): ServiceReference[] {
  if (!Array.isArray(providers)) return [];
  return providers.flatMap((provider: unknown) => {
    if (!isObject(provider)) return [];
    const { name, ...types } = provider;
    return Object.entries(types).flatMap(([type, settings]) =>
      fieldsNamed('service', settings).map((service) => ({
        service,
        message: `provider ${name} (${type}) of ConfigMap ${configMap} is this host`,
      })),
    );
  });
}

/** Undefined if the object names no service, or does not apply to sidecars. */
export function readReferences(object: KubeObject): ReferenceRecord | undefined {
  const { kind, metadata, spec = {} } = object;
  // A policy with targets applies to gateways and waypoints (pilot/pkg/model/policyattachment.go,
  // ShouldAttachPolicy).
  if (spec.targetRef || spec.targetRefs?.length > 0) return undefined;
  const services = new Set([
    ...annotatedServices(object),
    ...clustersIn(JSON.stringify(spec)),
    ...(kind === 'RequestAuthentication' ? keyServers(spec.jwtRules) : []),
  ]);
  if (services.size === 0) return undefined;
  const namespace = namespaceOf(object);
  const message = `${kind} ${namespace}/${metadata.name} names this host`;
  return {
    namespace,
    selector: spec.workloadSelector?.labels ?? spec.selector?.matchLabels ?? {},
    references: [...services].map((service) => ({ service, message })),
  };
}

/** Hosts of cluster names in a text, in the form of a cluster and in that of a server name. */
export function clustersIn(text: string): string[] {
  const forms = /\boutbound(?:\|\d{1,5}\|[^|"\\\s]*\||_\.\d{1,5}_\.[^"\\\s]*?_\.)([a-z0-9.-]+)/gi;
  return [...text.matchAll(forms)].flatMap(([, host = '']) => host.toLowerCase());
}

/**
 * What istiod reads of an EnvoyFilter for gateways (pilot/pkg/model/envoyfilter.go); the wish is
 * the same.
 */
function annotatedServices({ metadata }: KubeObject): string[] {
  const listed = metadata.annotations?.['envoyfilter.istio.io/referenced-services'] ?? '';
  return listed.split(',').flatMap((service) => service.trim() || []);
}

/**
 * If sidecars fetch keys by themselves, as istiod can be configured (PILOT_JWT_ENABLE_REMOTE_JWKS).
 */
function keyServers(rules: unknown): string[] {
  if (!Array.isArray(rules)) return [];
  return rules.flatMap((rule: { jwksUri?: unknown; jwks_uri?: unknown } | null) => {
    const uri = String(rule?.jwksUri ?? rule?.jwks_uri ?? '');
    return URL.canParse(uri) ? new URL(uri).hostname : [];
  });
}

function fieldsNamed(field: string, value: unknown): string[] {
  if (!isObject(value)) return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    key === field && typeof inner === 'string' ? [inner] : fieldsNamed(field, inner),
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object';
}
