import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';

/** A service of the embedded mesh; all of its ports speak HTTP. */
export type Service = { namespace: string; name: string; ports: number[] };

/**
 * Envoy watches a file for each port's routes, and each watch takes an inotify instance, of which
 * Linux gives a user 128 (fs.inotify.max_user_instances). Two sidecars with this many take 72 with
 * the rest.
 */
export const portsMax = 32;
/** A sidecar with all services takes 0.8 GB, and the gateway takes another 0.8 GB. */
export const servicesMax = 5_000;

/** The services of a mesh of that size: a shop, and teams that the shop does not call. */
export function generateServices(count: number): Service[] {
  return Array.from({ length: count }, (_, index) => ({
    namespace: index < shop.length ? 'shop' : `team-${Math.floor(index / 50)}`,
    name: shop[index] ?? `service-${index}`,
    ports: [8080, 9080],
  }));
}

const shop = ['cart', 'catalogue', 'payment', 'reviews', 'shipping', 'search', 'stock', 'users'];

/** An invalid services file; the message names the place and the reason. */
export class ServicesFileError extends Error {
  constructor(file: string, line: number, field: string, reason: string) {
    super(`${file}:${line}: ${field ? `${field}: ` : ''}${reason}`);
    this.name = 'ServicesFileError';
  }
}

/**
 * Reads a services file:
 *
 *     services:
 *       - {name: reviews, namespace: shop, ports: [9080]}
 *
 * Throws a ServicesFileError with the line, field and reason of the first mistake.
 */
export function readServices(text: string, file: string): Service[] {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const lineAt = (offset: number) => lines.linePos(offset).line;
  const [error] = document.errors;
  if (error) {
    const reason = error.message.split(/ at line |\n/)[0] ?? '';
    throw new ServicesFileError(file, lineAt(error.pos[0]), '', `not YAML: ${reason}`);
  }
  const fail: Fail = (node, field, reason) => {
    throw new ServicesFileError(file, lineAt(node?.range?.[0] ?? 0), field, reason);
  };
  const root = document.contents;
  if (!isMap(root)) return fail(root, '', 'must be a map with the key services');
  onlyKeys(root, '', ['services'], fail);
  const list = root.get('services', true) as Node | undefined;
  if (!isSeq(list)) return fail(list ?? root, 'services', 'must be a list');
  const count = list.items.length;
  if (count > servicesMax)
    fail(list, 'services', `${count} services, and at most ${servicesMax} are allowed`);
  const services = list.items.map((item, index) =>
    readService(item as Node, `services[${index}]`, fail),
  );
  return checkAll(services, list.items as Node[], fail);
}

type Fail = (node: Node | null | undefined, field: string, reason: string) => never;

function readService(node: Node, field: string, fail: Fail): Service {
  if (!isMap(node)) return fail(node, field, 'must be a map with name, namespace and ports');
  onlyKeys(node, field, ['name', 'namespace', 'ports'], fail);
  const ports = node.get('ports', true) as Node | undefined;
  if (!isSeq(ports) || ports.items.length === 0) {
    return fail(ports ?? node, `${field}.ports`, 'must be a list of at least one port');
  }
  return {
    name: readName(node, 'name', field, fail),
    namespace: readName(node, 'namespace', field, fail),
    ports: ports.items.map((item, index) => {
      const port = isScalar(item) ? item.value : undefined;
      if (Number.isInteger(port) && Number(port) >= 1 && Number(port) <= 65_535) {
        return Number(port);
      }
      const given = isScalar(item) ? String(item.value) : 'this';
      return fail(item as Node, `${field}.ports[${index}]`, `${given} is not a port (1 to 65535)`);
    }),
  };
}

/** A DNS-1123 label, which names of services and namespaces are (RFC 1123). */
function readName(
  map: Node & { get(key: string, keep: true): unknown },
  key: string,
  field: string,
  fail: Fail,
): string {
  const node = map.get(key, true) as Node | undefined;
  if (node === undefined) return fail(map, `${field}.${key}`, 'is missing');
  const value = isScalar(node) ? node.value : undefined;
  if (typeof value === 'string' && /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(value)) return value;
  const given = JSON.stringify(value) ?? 'this';
  return fail(
    node,
    `${field}.${key}`,
    `${given} is not a name (lower-case letters, digits, -; up to 63)`,
  );
}

function onlyKeys(node: Node, field: string, known: string[], fail: Fail): void {
  if (!isMap(node)) return;
  for (const { key } of node.items) {
    const name = isScalar(key) ? String(key.value) : '';
    if (known.includes(name)) continue;
    const at = field ? `${field}.${name}` : name;
    fail(key as Node, at, `is not a known key; the keys are ${known.join(', ')}`);
  }
}

function checkAll(services: Service[], nodes: Node[], fail: Fail): Service[] {
  const seen = new Map<string, number>();
  const ports = new Set<number>();
  for (const [index, service] of services.entries()) {
    const field = `services[${index}]`;
    const name = `${service.namespace}/${service.name}`;
    const before = seen.get(name);
    if (before !== undefined) fail(nodes[index], field, `${name} is already services[${before}]`);
    seen.set(name, index);
    const twice = service.ports.find((port, at) => service.ports.indexOf(port) !== at);
    if (twice !== undefined) fail(nodes[index], `${field}.ports`, `${twice} is listed twice`);
    for (const port of service.ports) ports.add(port);
    if (ports.size > portsMax) {
      fail(nodes[index], `${field}.ports`, `more than ${portsMax} different ports in all`);
    }
  }
  return services;
}
