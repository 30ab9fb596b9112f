import { type ClientRequest, createServer as createHttpServer, request } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { type Listening, listen } from './listen.ts';
import type { Placed } from './objects.ts';

/**
 * The parts of a node's network that need root in a cluster, simulated on the loopback address:
 * DNS, the redirection of an app's connections into its sidecar, and kube-proxy.
 */

/** The location of an app: its pod's address and namespace, and the port of its sidecar. */
export type Place = { namespace: string; ip: string; sidecarPort(): number };

export type Network = {
  /** The address of a host as pods of that namespace may call it. */
  resolve(host: string, namespace: string): string | undefined;
  /** Opens a connection that the sidecar treats as one to `ip:port`. */
  connectFrom(place: Place, ip: string, port: number): Socket;
};

export function createNetwork(services: readonly Placed[]): Network {
  const addresses = new Map<string, string>();
  for (const { host, name, namespace, clusterIp } of services) {
    for (const alias of [host, `${name}.${namespace}.svc`, `${name}.${namespace}`]) {
      addresses.set(alias, clusterIp);
    }
    addresses.set(clusterIp, clusterIp);
  }
  return {
    resolve: (host, namespace) => addresses.get(host.includes('.') ? host : `${host}.${namespace}`),
    connectFrom({ ip: source, sidecarPort }, ip, port) {
      const socket = connect(sidecarPort(), '127.0.0.1');
      socket.setNoDelay(true);
      socket.write(`PROXY TCP4 ${source} ${ip} ${ephemeralPort} ${port}\r\n`);
      return socket;
    },
  };
}

/** Nothing reads the source port. */
const ephemeralPort = 40_000;

/**
 * An HTTP proxy that stands for the app: it sends the requests of `curl --proxy` into the sidecar
 * as if an app in that pod had sent them. It answers 502 for a host without an address.
 */
export async function startAppProxy(network: Network, place: Place): Promise<Listening> {
  return listen(
    createHttpServer((incoming, response) => {
      const fail = (status: number, reason: string) => {
        response.writeHead(status, { 'content-type': 'text/plain' }).end(`${reason}\n`);
      };
      const url = URL.canParse(incoming.url ?? '') ? new URL(incoming.url ?? '') : undefined;
      const ip = url && network.resolve(url.hostname, place.namespace);
      if (!url || !ip) return fail(502, `${incoming.url}: the mesh has no such service`);
      const { 'proxy-connection': _, ...headers } = incoming.headers;
      const outgoing: ClientRequest = request(
        {
          method: incoming.method,
          path: `${url.pathname}${url.search}`,
          headers: { ...headers, host: url.host },
          createConnection: () => network.connectFrom(place, ip, Number(url.port || 80)),
        },
        (answer) => {
          response.writeHead(answer.statusCode ?? 502, answer.headers);
          answer.pipe(response);
        },
      );
      outgoing.on('error', (error) => fail(502, error.message));
      incoming.pipe(outgoing);
    }),
  );
}

/** The longest first line of the PROXY protocol, version 1 (its specification, section 2.1). */
const headerBytesMax = 107;

/** Accepts connections to service addresses and forwards each to the backend of the service. */
export async function startKubeProxy(
  services: readonly Placed[],
  backends: readonly number[],
): Promise<Listening> {
  const byAddress = new Map<string, number>(
    services.flatMap(({ clusterIp, ports, backend }) =>
      ports.map((port) => [`${clusterIp} ${port}`, backends[backend] ?? 0] as [string, number]),
    ),
  );
  const server = createServer((socket) => {
    let head = Buffer.alloc(0);
    const read = (chunk: Buffer) => {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf('\r\n');
      if (end < 0 && head.length < headerBytesMax) return;
      socket.off('data', read);
      const [, , , ip, , port] = head.toString('latin1', 0, Math.max(end, 0)).split(' ');
      const target = byAddress.get(`${ip} ${port}`);
      if (target === undefined) return void socket.destroy();
      const upstream = connect(target, '127.0.0.1');
      upstream.write(head.subarray(end + 2));
      join(socket, upstream);
    };
    socket.on('data', read);
    socket.on('error', () => socket.destroy());
  });
  return listen(server);
}

function join(a: Socket, b: Socket): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.pipe(to);
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroy());
  }
}
