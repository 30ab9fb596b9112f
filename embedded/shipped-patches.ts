import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse, parseAllDocuments } from 'yaml';

/**
 * The routes, clusters, settings and filter that `manifests/namespace` adds to a sidecar. They are
 * read from the manifests, so that the embedded mesh runs with the same patches as users.
 */

/** JSON of Envoy's v3 API. */
export type Json = { [field: string]: unknown };

export type ShippedPatches = {
  /** Routes to put in front of those of every virtual host. */
  routesBefore: Json[];
  /** Routes behind every route of a virtual host. */
  routesAfter: Json[];
  /** Fields of every outbound HTTP connection manager. */
  connectionManager: Json;
  clusters: Json[];
  /** `pluginConfig` of the filter, for HTTP and for TCP. */
  plugins: { http: Json; tcp: Json };
};

type Patch = { applyTo: string; patch: { operation: string; value: Json } };

export function readShippedPatches(): ShippedPatches {
  const filter = parse(read('envoyfilter.yaml')) as { spec: { configPatches: Patch[] } };
  const patches = filter.spec.configPatches;
  const of = (applyTo: string, operation: string) =>
    patches.filter((each) => each.applyTo === applyTo && each.patch.operation === operation);
  const routes = of('HTTP_ROUTE', 'INSERT_FIRST');
  const managers = of('NETWORK_FILTER', 'MERGE').map(({ patch }) => patch.value.typed_config);
  return {
    // The later patch ends up in front.
    routesBefore: routes.map(({ patch }) => patch.value).reverse(),
    routesAfter: of('HTTP_ROUTE', 'INSERT_AFTER').map(({ patch }) => patch.value),
    connectionManager: Object.assign({}, ...managers) as Json,
    clusters: of('CLUSTER', 'ADD').map(({ patch }) => patch.value),
    plugins: pluginConfigs(),
  };
}

type WasmPlugin = { spec: { type: string; pluginConfig: Json } };

function pluginConfigs(): { http: Json; tcp: Json } {
  const plugins = parseAllDocuments(read('wasmplugins.yaml')).map(
    (each) => each.toJS() as WasmPlugin,
  );
  const of = (type: string) =>
    plugins.find(({ spec }) => spec.type === type)?.spec.pluginConfig ?? {};
  return { http: of('HTTP'), tcp: of('NETWORK') };
}

function read(file: string): string {
  return readFileSync(shippedPath(`manifests/namespace/${file}`), 'utf8');
}

/** The allocator settings of `manifests/components/allocator`, merged over Envoy's bootstrap. */
export function readAllocatorSettings(): Json {
  const text = readFileSync(shippedPath('manifests/components/allocator/configmap.yaml'), 'utf8');
  const { data } = parse(text) as { data: Record<string, string> };
  return JSON.parse(data['custom_bootstrap.json'] ?? '{}') as Json;
}

export function shippedPath(path: string): string {
  return fileURLToPath(new URL(`../${path}`, import.meta.url));
}
