/**
 * More would not fit the 2,048 bytes that the filter takes; then the trust domain alone is pinned.
 */
export const identitiesMax = 16;
const identitiesBytesMax = 2048;

/**
 * Identities that a server may show, under every name of the trust domain, as istiod has them
 * (pilot/pkg/model/push_context.go, addServiceAccounts). Sorted; empty when there are too many to
 * pin.
 */
export function pinnedIdentities(
  identities: Iterable<string>,
  trustDomains: readonly string[],
): string[] {
  const found = new Set<string>();
  for (const identity of identities) {
    for (const name of namesOf(identity, trustDomains)) found.add(name);
  }
  const fits = found.size <= identitiesMax && [...found].join(',').length <= identitiesBytesMax;
  return fits ? [...found].sort() : [];
}

/** The identity of a service account in any trust domain. */
export function accountIdentity(namespace: string, account: string): string {
  return `ns/${namespace}/sa/${account}`;
}

const spiffe = /^spiffe:\/\/[^/]+\/(ns\/[^/]+\/sa\/[^/]+)$/;

function namesOf(identity: string, [own = '', ...aliases]: readonly string[]): string[] {
  const path = /^ns\/[^/]+\/sa\/[^/]+$/.test(identity) ? identity : spiffe.exec(identity)?.[1];
  // A name of DNS, or a URI of some other form.
  if (path === undefined) return [identity];
  const first = path === identity ? `spiffe://${own}/${path}` : identity;
  return [first, ...aliases.map((alias) => `spiffe://${alias}/${path}`)];
}
