import fastify, { type FastifyInstance } from 'fastify';
import { anyAddress } from './any-address.ts';
import type { RoleDeps } from './role.ts';

/**
 * Serves health, metrics and debug views to probes and people; no request changes anything.
 * `/livez` answers while the event loop runs. `/readyz` lists the tasks that readiness waits for,
 * and notes that do not affect readiness.
 */
export async function startAdmin(
  { log, lifecycle, registry, debug }: RoleDeps,
  port: number,
): Promise<FastifyInstance> {
  const server = fastify({ logger: false, bodyLimit: 1024, requestTimeout: 5_000 });

  server.get('/livez', async () => 'ok\n');
  server.get('/readyz', async (_request, reply) => {
    const waiting = lifecycle.ready();
    const details = lifecycle.details().map((line) => `${line}\n`);
    if (waiting.length === 0) return ['ok\n', ...details].join('');
    return reply.code(503).send([`waiting for: ${waiting.join(', ')}\n`, ...details].join(''));
  });
  server.get('/metrics', async (_request, reply) => {
    return reply.type(registry.contentType).send(await registry.metrics());
  });
  server.get<{ Params: { view: string } }>('/debug/:view', async (request, reply) => {
    const view = debug.get(request.params.view);
    if (view) return view();
    const views = [...debug.keys()].join(', ');
    return reply.code(404).send(`no such view; there are: ${views}\n`);
  });

  await server.listen({ port, host: anyAddress() });
  log.info({ address: server.server.address() }, 'admin port open');
  return server;
}
