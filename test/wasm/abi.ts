import type { Signature } from './module-types.ts';

/** Results of host functions: proxy_wasm_common.h of the proxy-wasm SDK. */
export const result = {
  ok: 0,
  notFound: 1,
  badArgument: 2,
  invalidMemoryAccess: 6,
  internalFailure: 10,
} as const;

/** The functions that Envoy offers an ABI 0.2.1 module, as far as this host implements them. */
export const hostFunctions: { [name: string]: Signature } = {
  'env.proxy_log': 'iii>i',
  'env.proxy_get_current_time_nanoseconds': 'i>i',
  'env.proxy_set_tick_period_milliseconds': 'i>i',
  'env.proxy_get_property': 'iiii>i',
  'env.proxy_set_property': 'iiii>i',
  'env.proxy_get_header_map_value': 'iiiii>i',
  'env.proxy_replace_header_map_value': 'iiiii>i',
  'env.proxy_remove_header_map_value': 'iii>i',
  'env.proxy_get_buffer_bytes': 'iiiii>i',
  'env.proxy_http_call': 'iiiiiiiiii>i',
  'env.proxy_call_foreign_function': 'iiiiii>i',
  'env.proxy_set_effective_context': 'i>i',
  'env.proxy_continue_stream': 'i>i',
  'wasi_snapshot_preview1.random_get': 'ii>i',
};

/**
 * The exports that Envoy looks for in a module. Envoy would never call an export with another name
 * or type.
 */
export const moduleFunctions: { [name: string]: Signature } = {
  _initialize: '>',
  malloc: 'i>i',
  proxy_abi_version_0_2_1: '>',
  proxy_on_configure: 'ii>i',
  proxy_on_delete: 'i>',
  proxy_on_tick: 'i>',
  proxy_on_new_connection: 'i>i',
  proxy_on_request_headers: 'iii>i',
  proxy_on_http_call_response: 'iiiii>',
};

/**
 * Functions that a module may call while it starts or allocates (setRestrictedCallback in wasm.cc
 * of proxy-wasm-cpp-host).
 */
export const unrestricted = new Set([
  'env.proxy_log',
  'env.proxy_get_current_time_nanoseconds',
  'wasi_snapshot_preview1.random_get',
]);

export const headerMap = { request: 0, callResponse: 6 } as const;
export const pluginConfiguration = 7;
export const streamType = { request: 0, downstream: 2 } as const;
