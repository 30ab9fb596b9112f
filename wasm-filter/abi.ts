/**
 * The only file that calls the host: thin wrappers over env.ts. Nothing here traps or throws; each
 * function returns whether the host call succeeded. Data from the host stays in the arena until the
 * call into the filter ends, at `gotAt()`, `gotSize()` bytes.
 */

import { allocate } from './arena';
import { sizeOf } from './bytes';
import {
  proxy_call_foreign_function,
  proxy_continue_stream,
  proxy_get_buffer_bytes,
  proxy_get_current_time_nanoseconds,
  proxy_get_header_map_value,
  proxy_get_property,
  proxy_http_call,
  proxy_log,
  proxy_remove_header_map_value,
  proxy_replace_header_map_value,
  proxy_set_effective_context,
  proxy_set_property,
  proxy_set_tick_period_milliseconds,
} from './env';
import { DECLARE_PROPERTY, SET_FILTER_STATE } from './names';
import { random_get } from './wasi_snapshot_preview1';

// Numbers of the ABI: proxy_wasm_common.h of the proxy-wasm C++ SDK.
export const OK: u32 = 0;
export const NOT_FOUND: u32 = 1;
export const CONTINUE: u32 = 0;
export const PAUSE: u32 = 1;
export const LOG_WARN: u32 = 3;
export const LOG_ERROR: u32 = 4;
export const REQUEST_HEADERS: u32 = 0;
export const CALL_RESPONSE_HEADERS: u32 = 6;
const PLUGIN_CONFIGURATION: u32 = 7;
export const REQUEST_STREAM: u32 = 0;
export const DOWNSTREAM_STREAM: u32 = 2;

// Life spans of filter state: ext/set_envoy_filter_state.proto of Envoy's wasm extension.
export const SPAN_FILTER_CHAIN: u32 = 0;
export const SPAN_REQUEST: u32 = 1;
export const SPAN_CONNECTION: u32 = 2;

/** Out-parameters: address and size of the data, the token of a call, a time. */
const OUT: usize = memory.data(16, 8);

export function gotAt(): usize {
  return load<u32>(OUT);
}

export function gotSize(): u32 {
  return load<u32>(OUT, 4);
}

/** Reads a property; returns the host's result, so that NOT_FOUND can be told from a failure. */
export function getProperty(path: usize): u32 {
  return proxy_get_property(path, sizeOf(path), OUT, OUT + 4);
}

export function setProperty(path: usize, value: usize, size: u32): bool {
  return proxy_set_property(path, sizeOf(path), value, size) == OK;
}

export function getHeader(map: u32, name: usize): bool {
  return proxy_get_header_map_value(map, name, sizeOf(name), OUT, OUT + 4) == OK;
}

export function replaceHeader(name: usize, value: usize, size: u32): bool {
  return proxy_replace_header_map_value(REQUEST_HEADERS, name, sizeOf(name), value, size) == OK;
}

export function removeHeader(name: usize): bool {
  return proxy_remove_header_map_value(REQUEST_HEADERS, name, sizeOf(name)) == OK;
}

export function getConfiguration(size: u32): bool {
  return proxy_get_buffer_bytes(PLUGIN_CONFIGURATION, 0, size, OUT, OUT + 4) == OK;
}

/** Starts a call to a cluster and returns its token, or 0 if the host could not start it. */
export function call(
  cluster: usize,
  headers: usize,
  headersSize: u32,
  body: usize,
  bodySize: u32,
  timeoutMs: u32,
): u32 {
  const result = proxy_http_call(
    cluster,
    sizeOf(cluster),
    headers,
    headersSize,
    body,
    bodySize,
    0,
    0,
    timeoutMs,
    OUT,
  );
  return result == OK ? load<u32>(OUT) : 0;
}

/** Switches to this stream for the rest of the call; false if the stream has ended. */
export function actFor(stream: u32): bool {
  return proxy_set_effective_context(stream) == OK;
}

export function resume(streamType: u32): bool {
  return proxy_continue_stream(streamType) == OK;
}

/** Sets Envoy filter state by protobuf `SetEnvoyFilterStateArguments{path=1, value=2, span=3}`. */
export function setFilterState(path: usize, value: usize, size: u32, span: u32): bool {
  const pathSize = sizeOf(path);
  const args = allocate(pathSize + size + 12);
  if (args == 0) return false;
  let end = putString(args, 1, path, pathSize);
  end = putString(end, 2, value, size);
  end = putNumber(end, 3, span);
  return callForeign(SET_FILTER_STATE, args, <u32>(end - args));
}

/**
 * Declares a property of bytes by `DeclarePropertyArguments{name=1, readonly=2, type=3, schema=4,
 * span=5}`.
 */
export function declareProperty(name: usize, span: u32): bool {
  const size = sizeOf(name);
  const args = allocate(size + 8);
  if (args == 0) return false;
  const end = putNumber(putString(args, 1, name, size), 5, span);
  return callForeign(DECLARE_PROPERTY, args, <u32>(end - args));
}

function callForeign(name: usize, args: usize, size: u32): bool {
  return proxy_call_foreign_function(name, sizeOf(name), args, size, OUT, OUT + 4) == OK;
}

function putString(at: usize, field: u32, value: usize, size: u32): usize {
  const start = putVarint(putVarint(at, (field << 3) | 2), size);
  memory.copy(start, value, size);
  return start + size;
}

function putNumber(at: usize, field: u32, value: u32): usize {
  return putVarint(putVarint(at, field << 3), value);
}

function putVarint(at: usize, value: u32): usize {
  let end = at;
  let rest = value;
  for (; rest > 127; rest >>= 7) store<u8>(end++, <u8>(rest | 128));
  store<u8>(end, <u8>rest);
  return end + 1;
}

export const SECOND: u64 = 1000000000;

/** Wall clock in nanoseconds, or 0 when the host has none. It may jump: callers bound both ways. */
export function now(): u64 {
  return proxy_get_current_time_nanoseconds(OUT) == OK ? load<u64>(OUT) : 0;
}

export function setTick(periodMs: u32): bool {
  return proxy_set_tick_period_milliseconds(periodMs) == OK;
}

export function random(): u64 {
  return random_get(OUT, 8) == OK ? load<u64>(OUT) : 0;
}

export function log(level: u32, at: usize, size: u32): void {
  proxy_log(level, at, size);
}
