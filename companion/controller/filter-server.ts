import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import fastify, { type FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { createRateLimit } from '../bounds/rate.ts';
import { anyAddress } from '../frame/any-address.ts';
import type { ControllerConfig } from '../frame/config.ts';
import { ConfigError } from '../frame/errors.ts';
import type { ControllerMetrics } from './metrics.ts';

type Filter = { wasm: Buffer; sha256: string; release: 'this' | 'previous' };

/** An upgrade normally goes from one release to the next, so one would do; the rest is margin. */
const previousMax = 8;
/** Fifty times the size of the filter; all are kept in memory. */
const bytesMax = 1 << 20;
/** One log line for each digest, because a starting proxy tries several times. */
const warnings = { perSecond: 1 / 600, burst: 1 };

/**
 * Serves the Wasm filter, and those of previous releases, to pilot-agents by digest: a namespace
 * keeps pinning the filter that it was enabled with until it is pinned again. The files are read
 * once, so that bytes and digests agree. The first returned digest is that of this release.
 */
export async function startFilterServer(
  config: Pick<ControllerConfig, 'wasmPath' | 'previousFiltersPath' | 'filterPort'>,
  { metrics, log }: { metrics: Pick<ControllerMetrics, 'filterRequests'>; log: Logger },
): Promise<{ server: FastifyInstance; digests: string[] }> {
  const own = await readFilter(config.wasmPath, 'this');
  const previous = await readPrevious(config.previousFiltersPath);
  const filters = new Map([...previous, own].map((filter) => [filter.sha256, filter]));
  const warn = createRateLimit(warnings, () => performance.now());
  for (const release of ['this', 'previous', 'unknown']) metrics.filterRequests.inc({ release }, 0);

  const server = fastify({ logger: false, bodyLimit: 1024, requestTimeout: 10_000 });
  server.get<{ Params: { sha256: string } }>(
    '/filters/:sha256/filter.wasm',
    async ({ params: { sha256 } }, reply) => {
      const filter = filters.get(sha256);
      metrics.filterRequests.inc({ release: filter?.release ?? 'unknown' });
      if (filter) return reply.type('application/wasm').send(filter.wasm);
      const text = `this controller has no filter with digest ${sha256}; pin ${own.sha256} in the namespace`;
      if (warn.take(sha256)) log.warn({ sha256, remedy: text }, 'unknown filter requested');
      return reply.code(404).type('text/plain').send(`${text}\n`);
    },
  );
  server.get('/filter.wasm.sha256', async (_request, reply) => {
    return reply.type('text/plain').send(`${own.sha256}\n`);
  });
  await server.listen({ port: config.filterPort, host: anyAddress() });
  const digests = [own, ...previous].map(({ sha256 }) => sha256);
  log.info({ sha256: own.sha256, previous: digests.slice(1) }, 'filter port open');
  return { server, digests };
}

const remedies = {
  this: {
    variable: 'LAZYSCOPE_WASM_PATH',
    remedy: 'build the filter, or set the variable to the path of the filter',
  },
  previous: {
    variable: 'LAZYSCOPE_PREVIOUS_FILTERS_PATH',
    remedy: 'remove the filters that no namespace pins',
  },
};

/** Without the folder there is no previous filter, as in the first release. */
async function readPrevious(folder: string): Promise<Filter[]> {
  const files = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw unusable('previous', folder, error.message);
  });
  const names = files.filter((name) => name.endsWith('.wasm')).sort();
  if (names.length > previousMax) {
    const problem = `has ${names.length} filters, and at most ${previousMax} are served`;
    throw unusable('previous', folder, problem);
  }
  return Promise.all(names.map((name) => readFilter(join(folder, name), 'previous')));
}

async function readFilter(path: string, release: Filter['release']): Promise<Filter> {
  const wasm = await readFile(path).catch((error: Error) => {
    throw unusable(release, path, error.message);
  });
  if (wasm.length > bytesMax) {
    throw unusable(release, path, `has more than ${bytesMax} bytes`);
  }
  return { wasm, sha256: createHash('sha256').update(wasm).digest('hex'), release };
}

function unusable(release: Filter['release'], value: string, problem: string): ConfigError {
  return new ConfigError([{ ...remedies[release], value, problem }]);
}
