import { type Fields, isObject, type Json } from './config-dump.ts';

/**
 * What enabling a namespace adds to a proxy (manifests/namespace, manifests/namespace-access-log),
 * and narrowing has no part in: the filter in HTTP and in TCP, its clusters, its routes in every
 * virtual host, the removal of its headers and its notes on routes; or the access log.
 */
const filters =
  /^extensions\.istio\.io\/trafficextension\/[^/]+\.lazyscope(-tcp)?~istio-translated-wasmplugin$/;
const named = new Set([
  'lazyscope-egress',
  'lazyscope-direct',
  'lazyscope-hold',
  'lazyscope-node',
  'lazyscope_hold',
  'lazyscope_first_call',
  'lazyscope_no_route',
  'lazyscope-unknown',
  'lazyscope-nowhere',
  'lazyscope-access-log',
  'lazyscope_unknown',
  'lazyscope_destination',
  'lazyscope_wait',
  'lazyscope_access_log',
]);
/** Settings without a name that the source access-log makes, in every listener alike. */
const ownSettings = new Set(['lazyscope', 'access_log_options', 'on_demand']);
const headerRemoval = 'envoy.http.early_header_mutation.header_mutation';
const ownHeaders = 'x-lazyscope-';

export function isOwn(part: Json): boolean {
  if (!isObject(part) || typeof part.name !== 'string') return false;
  if (part.name === headerRemoval) return JSON.stringify(part).includes(`"${ownHeaders}"`);
  return filters.test(part.name) || named.has(part.name);
}

/** A copy without parts of our own, and without what held nothing else. */
export function withoutOwn(value: Json): Json {
  if (Array.isArray(value)) return value.filter((each) => !isOwn(each)).map(withoutOwn);
  if (!isObject(value)) return value;
  const copy: Fields = {};
  for (const [field, inner] of Object.entries(value)) {
    if (ownSettings.has(field) && isObject(inner)) continue;
    const kept = withoutOwn(inner);
    if (isEmpty(kept) && !isEmpty(inner)) continue;
    copy[field] = kept;
  }
  return copy;
}

function isEmpty(value: Json): boolean {
  if (Array.isArray(value)) return value.length === 0;
  return isObject(value) && Object.keys(value).length === 0;
}
