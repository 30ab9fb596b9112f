/**
 * The module's exports: only the callbacks of proxy-wasm ABI 0.2.1 that are in use, because Envoy
 * calls into the VM for each exported one. Version 0.2.1 on purpose: up to it, a change of a
 * request header makes Envoy choose the route again.
 *
 * No callback traps, allocates or loops without bound: a trap ends this VM for every stream in it.
 */

import { now, setTick } from './abi';
import { allocate, resetArena } from './arena';
import { configure } from './config';
import { onConnection, onRequest } from './filter';
import { declareHoldState, forgetLostHolds } from './hold';
import { leave } from './open';
import { endLostQuestions, settle } from './question';
import { reportIfDue, settleReport, startReports } from './report';
import { bump, ERRORS } from './totals';

/** New destinations are reported within one tick; a wake-up a second costs nothing measurable. */
const TICK_MS: u32 = 1000;

export function proxy_abi_version_0_2_1(): void {}

/**
 * The host calls this for all data that it passes in; 0 makes the host's function fail, not the VM.
 */
export function malloc(size: u32): usize {
  return allocate(size);
}

export function proxy_on_configure(_root: u32, size: u32): u32 {
  resetArena();
  startReports();
  configure(size);
  declareHoldState();
  if (!setTick(TICK_MS)) bump(ERRORS);
  return 1;
}

export function proxy_on_request_headers(stream: u32, _headers: u32, endOfStream: u32): u32 {
  resetArena();
  return onRequest(stream, endOfStream != 0);
}

export function proxy_on_new_connection(stream: u32): u32 {
  resetArena();
  return onConnection(stream);
}

/** The end of a request or connection, for any reason. */
export function proxy_on_delete(stream: u32): void {
  leave(stream);
}

export function proxy_on_tick(_root: u32): void {
  resetArena();
  const time = now();
  endLostQuestions(time);
  forgetLostHolds(time);
  reportIfDue(time);
}

/** Envoy signals a failure, for example a timeout, by a response without headers. */
export function proxy_on_http_call_response(
  _root: u32,
  token: u32,
  headers: u32,
  _body: u32,
  _trailers: u32,
): void {
  resetArena();
  const time = now();
  if (!settleReport(token, headers == 0, time)) settle(token, headers == 0, time);
}
