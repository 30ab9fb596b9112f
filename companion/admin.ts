import { networkInterfaces } from 'node:os';
import fastify, { type FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { Lifecycle } from './lifecycle.ts';

export type AdminOptions = {
  port: number;
  host?: string;
  lifecycle: Lifecycle;
  registry: Registry;
  log: Logger;
  /** Read-only views below /debug/, each bounded by who provides it. */
  debug: Record<string, () => unknown>;
};

/** Serves health, metrics and debug views; it stops last, so that probes see the stop. */
export async function startAdmin(options: AdminOptions): Promise<FastifyInstance> {
  const { lifecycle, registry, debug } = options;
  const server = fastify({ logger: false, bodyLimit: 1024, requestTimeout: 5_000 });

  server.get('/livez', async () => 'ok\n');
  server.get('/readyz', async (_request, reply) => {
    const waiting = lifecycle.ready();
    if (waiting.length === 0) return 'ok\n';
    return reply.code(503).send(`waiting for: ${waiting.join(', ')}\n`);
  });
  server.get('/metrics', async (_request, reply) => {
    return reply.type(registry.contentType).send(await registry.metrics());
  });
  for (const [name, view] of Object.entries(debug))
    server.get(`/debug/${name}`, async () => view());

  await server.listen({ port: options.port, host: options.host ?? anyAddress() });
  options.log.info({ address: server.server.address() }, 'admin port open');
  return server;
}

/** All addresses, also where the kernel has no IPv6, which `::` would not survive. */
export function anyAddress(): '::' | '0.0.0.0' {
  const addresses = Object.values(networkInterfaces()).flat();
  return addresses.some((address) => address?.family === 'IPv6') ? '::' : '0.0.0.0';
}
