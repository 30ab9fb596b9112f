// The proxy-wasm host functions that the filter calls (ABI 0.2.1). The file name is the import
// module's name. Addresses and sizes are bytes of linear memory; each returns a WasmResult, 0 = Ok.
// Reference: proxy-wasm-cpp-host include/proxy-wasm/exports.h.

export declare function proxy_log(level: u32, at: usize, size: u32): u32;
export declare function proxy_get_current_time_nanoseconds(out: usize): u32;
export declare function proxy_set_tick_period_milliseconds(period: u32): u32;
export declare function proxy_get_property(
  path: usize,
  pathSize: u32,
  outAt: usize,
  outSize: usize,
): u32;
export declare function proxy_set_property(
  path: usize,
  pathSize: u32,
  value: usize,
  valueSize: u32,
): u32;
export declare function proxy_get_header_map_value(
  map: u32,
  name: usize,
  nameSize: u32,
  outAt: usize,
  outSize: usize,
): u32;
export declare function proxy_replace_header_map_value(
  map: u32,
  name: usize,
  nameSize: u32,
  value: usize,
  valueSize: u32,
): u32;
export declare function proxy_remove_header_map_value(map: u32, name: usize, nameSize: u32): u32;
export declare function proxy_get_buffer_bytes(
  buffer: u32,
  start: u32,
  size: u32,
  outAt: usize,
  outSize: usize,
): u32;
export declare function proxy_http_call(
  cluster: usize,
  clusterSize: u32,
  headers: usize,
  headersSize: u32,
  body: usize,
  bodySize: u32,
  trailers: usize,
  trailersSize: u32,
  timeout: u32,
  outToken: usize,
): u32;
export declare function proxy_call_foreign_function(
  name: usize,
  nameSize: u32,
  args: usize,
  argsSize: u32,
  outAt: usize,
  outSize: usize,
): u32;
export declare function proxy_set_effective_context(context: u32): u32;
export declare function proxy_continue_stream(stream: u32): u32;
