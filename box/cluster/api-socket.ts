import { connect, createServer, type Socket } from 'node:net';
import { apiSocketPath } from '../paths.ts';
import { apiServer } from './network-plan.ts';

/**
 * The API server as a socket in the mesh's folder, for programs of this machine that query the
 * cluster often, because they are outside the network of the box. The socket only relays bytes, so
 * a client still needs the kubeconfig.
 */
export function openApiSocket(): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect({
      host: apiServer.address,
      port: apiServer.port,
      allowHalfOpen: true,
    });
    joinSockets(client, upstream);
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(apiSocketPath, resolve);
  });
}

/** Relays bytes between two sockets; when one breaks, the other is destroyed. */
function joinSockets(one: Socket, other: Socket): void {
  one.pipe(other);
  other.pipe(one);
  for (const socket of [one, other])
    socket.on('error', () => {
      one.destroy();
      other.destroy();
    });
}
