/**
 * More would not fit the 2,048 bytes that the filter accepts; then only the trust domain is pinned.
 */
export const identitiesMax = 16;
const identitiesBytesMax = 2048;

/**
 * Identities that a server may present, under every name of the trust domain, as in istiod
 * (pilot/pkg/model/push_context.go, addServiceAccounts). Sorted; empty if there are too many to
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
  // A DNS name, or a URI of another form.
  if (path === undefined) return [identity];
  const first = path === identity ? `spiffe://${own}/${path}` : identity;
  return [first, ...aliases.map((alias) => `spiffe://${alias}/${path}`)];
}
