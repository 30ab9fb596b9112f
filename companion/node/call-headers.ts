import type { IncomingHttpHeaders } from 'node:http';
import type { UnknownCall } from '../core/first-call/resolve.ts';

const authorityLengthMax = 512;
/** `ip:port` with an IPv6 address in brackets, as Envoy writes `destination.address`. */
const destinationPattern = /^(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-f:.]{2,45}\]):\d{1,5}$/i;
/** Printable ASCII without spaces; istiod knows no other authority. */
const authorityPattern = /^[\x21-\x7e]+$/;

/** The call that a question is about, or the fault in its headers. */
export function readCall(headers: IncomingHttpHeaders): UnknownCall | string {
  const kind = headers['x-lazyscope-call'];
  if (kind !== 'http' && kind !== 'tcp') return 'x-lazyscope-call is neither http nor tcp';
  const authority = kind === 'http' ? headers['x-lazyscope-authority'] : '';
  return checkCall(kind === 'tcp', authority, headers['x-lazyscope-destination']);
}

/**
 * How long the filter's question before this one took, in seconds, as the filter says; undefined if
 * it says nothing usable. A question takes at most a second.
 */
export function readTook(headers: IncomingHttpHeaders): number | undefined {
  const took = headers['x-lazyscope-took'];
  return typeof took === 'string' && /^\d{1,6}$/.test(took) ? Number(took) / 1e6 : undefined;
}

/** The held request itself as a call, or the fault in its headers. */
export function readHeldCall(headers: IncomingHttpHeaders): UnknownCall | string {
  return checkCall(false, headers.host, headers['x-lazyscope-destination']);
}

function checkCall(
  tcp: boolean,
  authority: string | string[] | undefined,
  destination: string | string[] | undefined,
): UnknownCall | string {
  if (typeof authority !== 'string') return 'no authority';
  if (authority.length > authorityLengthMax) return 'authority too long';
  if (!tcp && !authorityPattern.test(authority)) return 'authority not printable';
  if (typeof destination !== 'string') return 'no x-lazyscope-destination';
  if (!destinationPattern.test(destination)) return 'x-lazyscope-destination is not ip:port';
  return { tcp, authority, destination };
}
