import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import fastify, { type FastifyInstance } from 'fastify';
import { anyAddress } from '../admin.ts';

/** Serves the Wasm filter to pilot-agents, and its digest to people; read once, so both agree. */
export async function startFilterServer(
  path: string,
  port: number,
): Promise<{ server: FastifyInstance; sha256: string }> {
  const wasm = await readFile(path).catch((cause: Error) => {
    const remedy = 'build the filter, or set LAZYSCOPE_WASM_PATH to where it is';
    throw new Error(`LAZYSCOPE_WASM_PATH=${path}: ${cause.message}; ${remedy}`, { cause });
  });
  const sha256 = createHash('sha256').update(wasm).digest('hex');
  const server = fastify({ logger: false, bodyLimit: 1024, requestTimeout: 10_000 });
  server.get('/filter.wasm', async (_request, reply) => {
    return reply.type('application/wasm').header('etag', `"${sha256}"`).send(wasm);
  });
  server.get('/filter.wasm.sha256', async (_request, reply) => {
    return reply.type('text/plain').send(`${sha256}\n`);
  });
  await server.listen({ port, host: anyAddress() });
  return { server, sha256 };
}
