import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { createRateLimit } from '../../bounds/rate.ts';
import { anyAddress } from '../../frame/any-address.ts';
import type { ControllerMetrics } from '../metrics.ts';
import { type Access, type AccessCheck, Refusal } from './access.ts';
import { advice } from './advice.ts';
import { createEventStreams } from './events.ts';
import { explanation } from './explanation.ts';
import { figures } from './figures.ts';
import type { Known } from './known.ts';
import { nodesView } from './nodes.ts';
import { pastDaysMax } from './past.ts';
import { beginsAtHeader, historyPath, isProof, type Keys, packed } from './takeover.ts';
import { topology } from './topology.ts';
import { answerBounds, changes, overview, workload, workloads } from './views.ts';

/** The page and what it shows. Nothing can be changed here: every route only reads. */

export type ConsoleOptions = {
  known: Known;
  metrics: Pick<ControllerMetrics, 'consoleRequests' | 'consoleStreams' | 'consoleRefused'>;
  access: AccessCheck;
  /** Without keys the port speaks plain HTTP, which only the embedded mesh does, on loopback. */
  keys?: Keys;
  /** The folder with the bundled page. */
  pagePath: string;
  host?: string;
  port: number;
  /** Further rules on requests; the text refuses the request. */
  guard?(request: FastifyRequest): string | undefined;
};

/** No script, style or request other than the page's own, no frame around it, no form. */
const policy = [
  "default-src 'none'",
  ...["script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'"],
  ...["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
].join('; ');

const headers = {
  'content-security-policy': policy,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
};

const files: Record<string, string> = {
  'index.html': 'text/html; charset=utf-8',
  'console.js': 'text/javascript; charset=utf-8',
  'console.css': 'text/css; charset=utf-8',
  'icon.svg': 'image/svg+xml',
};

/** Requests of one address: a page makes about one a second, replay five. */
const requestRate = { perSecond: 20, burst: 60 };
/** Connections over all users; each open page has two or three. */
const connectionsMax = 256;
/** 14 days of minutes; more would only read the same bins. */
const minutesMax = 14 * 1_440;

export async function startConsole(options: ConsoleOptions): Promise<FastifyInstance> {
  const { keys, metrics, known, guard } = options;
  const rate = createRateLimit(requestRate, known.now);
  const https = keys && { cert: keys.certificate, key: keys.key };
  const common = {
    ...{ logger: false, bodyLimit: 1024, requestTimeout: 10_000 },
    // An idle connection of a browser must not delay the stop of the controller.
    forceCloseConnections: true,
  } as const;
  const server = (https ? fastify({ ...common, https }) : fastify(common)) as FastifyInstance;
  server.server.maxConnections = connectionsMax;
  server.addHook('onRequest', async (request, reply) => {
    void reply.headers(headers);
    metrics.consoleRequests.inc();
    const refused = guard?.(request);
    if (refused) throw new Refusal(403, refused);
    if (rate.take(request.ip)) return;
    metrics.consoleRefused.inc({ reason: 'rate' });
    throw new Refusal(429, 'too many requests from this address; wait some seconds');
  });
  server.setErrorHandler((error, _request, reply) => {
    const status = error instanceof Refusal ? error.status : 500;
    // Only a refusal says why: other texts may name what the user must not see.
    const text = error instanceof Refusal ? error.message : 'the controller failed';
    return reply.code(status).send({ error: text });
  });
  await servePage(server, options.pagePath);
  serveViews(server, options);
  if (keys) serveHistory(server, known, keys);
  await server.listen({ port: options.port, host: options.host ?? anyAddress() });
  return server;
}

/** The files are read once; the page itself shows nothing without a token. */
async function servePage(server: FastifyInstance, folder: string): Promise<void> {
  for (const [name, type] of Object.entries(files)) {
    const content = await readFile(join(folder, name)).catch(() => undefined);
    const path = name === 'index.html' ? '/' : `/${name}`;
    const missing = `the page is not built: ${name} is missing; run npm run build:page`;
    server.get(path, async (_request, reply) =>
      content ? reply.type(type).send(content) : reply.code(404).send({ error: missing }),
    );
  }
}

function serveViews(server: FastifyInstance, { known, metrics, access }: ConsoleOptions): void {
  const streams = createEventStreams({ known, metrics, access });
  server.addHook('preClose', async () => streams.stop());

  const get = (path: string, view: (request: Asked, access: Access) => unknown) =>
    server.get(`/api/v1/${path}`, async (request, reply) => {
      const allowed = await access(request.headers.authorization, request.ip);
      const found = await view(askedOf(request), allowed);
      if (found === undefined) return reply.code(404).send({ error: 'no such workload here' });
      return found;
    });
  get('overview', (_asked, allowed) => overview(known, allowed));
  get('workloads', ({ text, whole }, allowed) =>
    workloads(known, allowed, {
      search: text('search').slice(0, 256),
      sort: text('sort'),
      descending: text('order') === 'descending',
      offset: whole('offset', 0, 1e6),
    }),
  );
  get('workloads/:namespace/:name', ({ params: { namespace = '', name = '' } }, allowed) =>
    workload(known, allowed, namespace, name),
  );
  get('workloads/:namespace/:name/call', ({ params, text }, allowed) =>
    explanation(known, allowed, {
      ...{ namespace: params.namespace ?? '', name: params.name ?? '' },
      to: text('to').slice(0, 512),
      tcp: text('tcp') === 'true',
    }),
  );
  get('topology', ({ text, whole }, allowed) =>
    topology(known, allowed, {
      at: whole('at', known.now(), 1e15),
      minutes: whole('minutes', 1, minutesMax),
      ...{ namespace: text('namespace'), workload: text('workload') },
      search: text('search').slice(0, 256),
      byNamespace: text('by') === 'namespace',
    }),
  );
  get('nodes', (_asked, allowed) => nodesView(known, allowed));
  get('figures', ({ text, whole }, allowed) =>
    figures(known, allowed, {
      ...{ namespace: text('namespace'), name: text('name') },
      days: Math.max(1, whole('days', 1, pastDaysMax)),
    }),
  );
  get('advice', (_asked, allowed) => advice(known, allowed));
  get('changes', ({ text, whole }, allowed) =>
    changes(known, allowed, {
      since: whole('since', 0, 1e15),
      ...{ from: whole('from', 0, 1e15), to: whole('to', 1e15, 1e15) },
      ...{ namespace: text('namespace'), workload: text('workload') },
      limit: Math.max(1, whole('limit', answerBounds.changes, answerBounds.changes)),
      isFirst: text('order') === 'first',
    }),
  );
  server.get('/api/v1/events', async (request: FastifyRequest, reply: FastifyReply) => {
    await streams.follow(request, reply);
  });
}

/** For a replica that starts. One at a time, because it may take 100 ms of the processor. */
function serveHistory(server: FastifyInstance, { history }: Known, keys: Keys): void {
  let isBusy = false;
  const prove = ({ headers }: FastifyRequest) => {
    if (!isProof(keys, headers.authorization)) throw new Refusal(403, 'not a replica');
  };
  server.head(historyPath, async (request, reply) => {
    prove(request);
    return reply.header(beginsAtHeader, history.beginsAt()).send();
  });
  server.get(historyPath, async (request, reply) => {
    prove(request);
    if (isBusy) throw new Refusal(429, 'another replica takes the history over');
    isBusy = true;
    const body = packed(history);
    body.on('close', () => {
      isBusy = false;
    });
    return reply.type('application/gzip').send(body);
  });
}

type Asked = {
  params: Record<string, string>;
  text(name: string): string;
  /** A whole number from 0 to `most`; `fallback` for anything else. */
  whole(name: string, fallback: number, most: number): number;
};

function askedOf(request: FastifyRequest): Asked {
  const query = request.query as Record<string, unknown>;
  // A name that is given twice is a list, which nothing here takes.
  const text = (name: string) => (typeof query[name] === 'string' ? query[name] : '');
  return {
    params: request.params as Record<string, string>,
    text,
    whole(name, fallback, most) {
      const value = text(name);
      return /^\d{1,15}$/.test(value) ? Math.min(most, Number(value)) : fallback;
    },
  };
}
