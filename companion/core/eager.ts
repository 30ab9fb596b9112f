import { type Catalog, isVisible } from './catalog.ts';
import type { HostRecord } from './records.ts';

export type EagerHost = { entry: string; message: string };

/**
 * Hosts that cannot wait for their first call, because that call could not be served, each with the
 * reason in words. The more of them, the less a scope is worth: it is the price of these kinds.
 */
export function* eagerHosts(
  catalog: Catalog,
  namespace: string,
  dnsProxy: boolean,
): Generator<EagerHost> {
  let found = 0;
  for (const record of catalog.entries()) {
    const message = whyEager(record, dnsProxy);
    if (!message || !isVisible(record, namespace)) continue;
    found += 1;
    if (found > eagerMax) return;
    yield { entry: `${record.namespace}/${record.host}`, message };
  }
}

/**
 * At 300 bytes each a third of what etcd takes as one object. With more ServiceEntries than this the rest
 * is learned by use, as far as it can be.
 */
const eagerMax = 1_500;

function whyEager({ ports }: HostRecord, dnsProxy: boolean): string | undefined {
  if (dnsProxy) return 'the DNS proxy of the sidecar answers only for ServiceEntries in its scope';
  const port = ports.find(({ protocol }) => protocol === 'tcp');
  return (
    port &&
    `port ${port.port} is not HTTP: a connection to a ServiceEntry finds its listener by SNI or ` +
      'address when it is made, or not at all'
  );
}
