/** The sidecar in a pod, by the name that Istio gives its container. */

/**
 * Of the lists of containers of a pod, or of their statuses. A native sidecar is an init
 * container.
 */
export function proxyIn<Item extends { name: string }>(...lists: unknown[]): Item | undefined {
  return (lists as (Item[] | undefined)[])
    .flatMap((list) => list ?? [])
    .find(({ name }) => name === 'istio-proxy');
}
