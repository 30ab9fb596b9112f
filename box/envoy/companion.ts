import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { decodeReport, type FilterReport } from '../../companion/contract/filter-report.ts';
import { listen } from '../../embedded/listen.ts';

export type Answer = { [header: string]: string };
export type Question = { call: string; authority: string | undefined; destination: string };
type Held = { method: string; url: string; headers: IncomingHttpHeaders; body: Buffer };

/** The node companion's side of the contract, with answers chosen by the test. */
export type Companion = {
  port: number;
  questions: Question[];
  reports: FilterReport[];
  held: Held[];
  /** The answer; undefined: 503. A promise makes the question wait. */
  answer: (question: Question) => Answer | undefined | Promise<Answer | undefined>;
  /** What to do with a held request before it is sent back. */
  hold: (held: Held) => Promise<void>;
  stop(): Promise<void>;
};

export const gateway = (more: Answer = {}): Answer => ({
  'x-lazyscope-strategy': 'gateway',
  'x-lazyscope-sni': 'outbound_.9080_._.reviews.app.svc.cluster.local',
  'x-lazyscope-ttl': '30',
  ...more,
});
export const direct = (more: Answer = {}): Answer =>
  gateway({ 'x-lazyscope-strategy': 'direct', ...more });
export const hold = (more: Answer = {}): Answer =>
  gateway({ 'x-lazyscope-strategy': 'hold', 'x-lazyscope-otherwise': 'gateway', ...more });
export const passthrough: Answer = {
  'x-lazyscope-strategy': 'passthrough',
  'x-lazyscope-ttl': '30',
};

export async function startCompanion(): Promise<Companion> {
  const companion: Companion = {
    port: 0,
    questions: [],
    reports: [],
    held: [],
    answer: () => undefined,
    hold: async () => {},
    stop: async () => {},
  };
  const server = createServer(async (request, response) => {
    const body = await buffer(request);
    const { url = '', method = '', headers } = request;
    if (url === '/v1/report') {
      companion.reports.push(decodeReport(body));
      response.writeHead(204).end();
    } else if (url === '/v1/resolve') await reply(companion, headers, response);
    else {
      const held = { method, url, headers, body };
      companion.held.push(held);
      await companion.hold(held);
      response.writeHead(307, { location: `http://${headers.host}${url}` }).end();
    }
  });
  const { port, stop } = await listen(server);
  return Object.assign(companion, { port, stop });
}

async function reply(
  companion: Companion,
  headers: IncomingHttpHeaders,
  response: ServerResponse,
): Promise<void> {
  const question = {
    call: String(headers['x-lazyscope-call']),
    authority: headers['x-lazyscope-authority'] as string | undefined,
    destination: String(headers['x-lazyscope-destination']),
  };
  companion.questions.push(question);
  const answer = await companion.answer(question);
  if (answer === undefined) response.writeHead(503).end();
  else response.writeHead(200, answer).end();
}
