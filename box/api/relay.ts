import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A relay on the loopback address that connects from a source address of its own. */
export type Relay = { address: string; stop(): void };

/**
 * Forwards connections to the port `from` the given address; gRPC clients cannot choose theirs. It
 * listens on any free port unless told otherwise.
 */
export async function startRelay(
  port: number,
  from: string,
  listen: { host: string; port: number } = { host: '127.0.0.1', port: 0 },
): Promise<Relay> {
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect({ port, host: '127.0.0.1', localAddress: from });
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        open.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.pipe(upstream).pipe(client);
  });
  server.listen(listen);
  await once(server, 'listening');
  return {
    address: `${listen.host}:${(server.address() as AddressInfo).port}`,
    stop() {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}
