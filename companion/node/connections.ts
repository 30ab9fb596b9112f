import type { Server, Socket } from 'node:net';
import type { NodeMetrics } from './metrics.ts';
import { plainAddress } from './pods.ts';

export const connectionBounds = {
  /** 110 pods with 8 workers and 3 clusters each are 2,640; about 10 KB each. */
  all: 4096,
  /**
   * A held request keeps a connection, and a refused connection fails the request. So this is four
   * times the held requests of a pod (hold.ts), beyond which requests are sent back at once.
   */
  source: 1024,
  /**
   * Connections from addresses that are not a served pod: a pod that has just started, or whose
   * namespace was disabled while it held a request. Each gets one answer, and the connection is
   * closed.
   */
  strangers: 256,
};

export type ConnectionsOptions = {
  /** Whether the address belongs to a served pod. */
  serves(address: string): boolean;
  metrics: NodeMetrics;
  bounds?: typeof connectionBounds;
};

/**
 * Shares the connections of a port among its clients. If all are taken, the source with the most
 * connections loses its oldest connection to a source with fewer. So a few pods that keep opening
 * connections cannot lock others out.
 */
export function shareConnections(server: Server, options: ConnectionsOptions): void {
  const { serves, metrics, bounds = connectionBounds } = options;
  const bySource = new Map<string, Set<Socket>>();
  let open = 0;
  let strangers = 0;

  function drop(socket: Socket, bound: keyof typeof connectionBounds): void {
    metrics.connectionsDropped.inc({ bound });
    socket.destroy();
  }

  function largest(): Set<Socket> {
    let found = new Set<Socket>();
    for (const sockets of bySource.values()) if (sockets.size > found.size) found = sockets;
    return found;
  }

  function leave(source: string, socket: Socket, isStranger: boolean): void {
    const sockets = bySource.get(source);
    if (!sockets?.delete(socket)) return;
    open -= 1;
    if (isStranger) strangers -= 1;
    if (sockets.size === 0) bySource.delete(source);
  }

  server.on('connection', (socket: Socket) => {
    const source = plainAddress(socket.remoteAddress ?? '');
    const isStranger = !serves(source);
    const sockets = bySource.get(source) ?? new Set<Socket>();
    if (isStranger && strangers >= bounds.strangers) return drop(socket, 'strangers');
    if (sockets.size >= bounds.source) return drop(socket, 'source');
    if (open >= bounds.all) {
      const most = largest();
      if (most.size <= sockets.size + 1) return drop(socket, 'all');
      const [oldest] = most;
      if (oldest) drop(oldest, 'all');
    }
    bySource.set(source, sockets.add(socket));
    open += 1;
    if (isStranger) strangers += 1;
    socket.on('close', () => leave(source, socket, isStranger));
  });
  // The final bound: a socket that was given up counts until it is closed.
  server.maxConnections = 2 * bounds.all;
  server.on('drop', () => metrics.connectionsDropped.inc({ bound: 'all' }));
}
