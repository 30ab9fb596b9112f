import { httpPlugin, type Json, type } from './bootstrap.ts';

/** Route discovery from a file, which stands in for istiod's pushes. */
export function routesFrom(path: string): Json {
  return {
    rds: {
      route_config_name: '9080',
      config_source: { path_config_source: { path }, resource_api_version: 'V3' },
    },
  };
}

/** What that file holds. */
export function routeDiscovery(version: number, routes: Json): Json {
  const resource = {
    '@type': type('envoy.config.route.v3.RouteConfiguration'),
    ...routes,
    // Envoy passes over an update whose content it has, and its version with it.
    internal_only_headers: [`x-version-${version}`],
  };
  return { version_info: String(version), resources: [resource] };
}

/** An HTTP filter that is discovered from a file, as a WasmPlugin is by istiod's extension discovery. */
export function discoveredFilter(path: string): Json {
  return {
    name: 'app.lazyscope',
    config_discovery: {
      config_source: { path_config_source: { path }, resource_api_version: 'V3' },
      type_urls: [type('envoy.extensions.filters.http.wasm.v3.Wasm')],
    },
  };
}

/** What that file holds. */
export function filterDiscovery(version: number, pluginConfig: unknown): Json {
  const resource = {
    '@type': type('envoy.config.core.v3.TypedExtensionConfig'),
    name: 'app.lazyscope',
    typed_config: httpPlugin(pluginConfig),
  };
  return { version_info: String(version), resources: [resource] };
}
