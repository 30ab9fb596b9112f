import { isIP, isIPv6 } from 'node:net';

/** An address that a proxy was asked to connect to. */
export type Address = { ip: string; port: number };

/** The longest accepted authority, as in the filter's contract. */
const authorityBytesMax = 512;

/**
 * The host of an `:authority`, lower case, without port and final dot. Istio routes with
 * `ignore_port_in_host_matching`, so only the port of the original destination counts. Undefined if
 * there is no host in it (RFC 3986 section 3.2.2).
 */
export function hostOfAuthority(authority: string): string | undefined {
  if (authority.length === 0 || authority.length > authorityBytesMax) return undefined;
  if (authority.startsWith('[')) {
    const [, ip, rest] = /^\[([^\]]*)\](.*)$/.exec(authority) ?? [];
    if (ip === undefined || rest === undefined || !isIPv6(ip)) return undefined;
    return rest === '' || isPortSuffix(rest) ? ip.toLowerCase() : undefined;
  }
  const colon = authority.indexOf(':');
  if (colon >= 0 && !isPortSuffix(authority.slice(colon))) return undefined;
  const host = (colon < 0 ? authority : authority.slice(0, colon)).replace(/\.$/, '').toLowerCase();
  return /^[a-z0-9_]([a-z0-9._-]*[a-z0-9_-])?$/.test(host) && !host.includes('..')
    ? host
    : undefined;
}

function isPortSuffix(text: string): boolean {
  return /^:\d{0,5}$/.test(text);
}

/** Parses `ip:port` or `[ip]:port`; undefined if it is neither. */
export function parseAddress(text: string): Address | undefined {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const ip = bracketed ?? plain;
  const port = Number(digits);
  if (ip === undefined || isIP(ip) === 0 || port < 1 || port > 65_535) return undefined;
  return { ip: ip.toLowerCase(), port };
}

/** An outbound cluster as istiod names it: `outbound|9080|subset|host`. */
export type ClusterName = { port: number; subset: string; host: string };

/**
 * Reads `outbound|PORT|SUBSET|HOST` (Istio pilot/pkg/model/service.go, BuildSubsetKey). Undefined
 * for every other cluster: inbound ones, PassthroughCluster, ours.
 */
export function parseClusterName(name: string): ClusterName | undefined {
  const [direction, digits, subset, host, ...rest] = name.split('|');
  if (direction !== 'outbound' || rest.length > 0 || !host || subset === undefined)
    return undefined;
  const port = Number(digits);
  if (!digits || !/^\d{1,5}$/.test(digits) || port < 1 || port > 65_535) return undefined;
  return { port, subset, host: host.toLowerCase() };
}
