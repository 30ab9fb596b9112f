import type { ServerResponse } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { createQuota } from '../../bounds/quota.ts';
import type { ControllerMetrics } from '../metrics.ts';
import { type AccessCheck, Refusal } from './access.ts';
import type { Known } from './known.ts';
import { changesFor } from './views.ts';

/** Server-sent events: changes as they happen, and the controller's time once a second. */
export type EventStreams = {
  /** Answers until the reader leaves; begins after `Last-Event-ID`, or with what comes next. */
  follow(request: FastifyRequest, reply: FastifyReply): Promise<void>;
  stop(): void;
};

type Options = {
  known: Known;
  metrics: Pick<ControllerMetrics, 'consoleStreams' | 'consoleRefused'>;
  access: AccessCheck;
};

type Reader = {
  response: ServerResponse;
  authorization: string | undefined;
  peer: string;
  /** The number of the last change that was sent. */
  last: number;
};

const streams = { all: 64, perKey: 8 };
/** A reader that takes no more is cut; its browser comes back with the last number it has. */
const unreadBytesMax = 262_144;
const everyMs = 1_000;
/**
 * A reader that was away for long gets what it missed in parts, a second after another: 10,000
 * changes at once would exceed what may be unread.
 */
export const changesAtOnce = 500;

export function createEventStreams({ known, metrics, access }: Options): EventStreams {
  const readers = new Set<Reader>();
  const quota = createQuota(streams);
  let timer: NodeJS.Timeout | undefined;

  /** The right to see is asked for again each time; the answer is remembered for a minute. */
  async function send(reader: Reader): Promise<void> {
    const { response, authorization, peer } = reader;
    try {
      const allowed = await access(authorization, peer);
      const waiting = changesFor(known, allowed, reader.last);
      const found = waiting.slice(0, changesAtOnce);
      for (const change of found) {
        response.write(`id: ${change.id}\nevent: change\ndata: ${JSON.stringify(change)}\n\n`);
      }
      const isAll = found.length === waiting.length;
      reader.last = isAll ? known.history.changes.newest() : (found.at(-1)?.id ?? reader.last);
      response.write(`event: time\ndata: ${JSON.stringify({ now: known.now() })}\n\n`);
      if (response.writableLength > unreadBytesMax) response.destroy();
    } catch {
      // The token has expired, or the right is gone: the page learns why with its next request.
      response.end();
    }
  }

  function turn(): void {
    for (const reader of readers) void send(reader);
  }

  function leave(reader: Reader): void {
    if (!readers.delete(reader)) return;
    quota.leave(reader.peer);
    metrics.consoleStreams.set(readers.size);
    if (readers.size === 0) clearInterval(timer);
  }

  return {
    async follow(request, reply) {
      const { authorization } = request.headers;
      const peer = request.ip;
      await access(authorization, peer);
      if (!quota.enter(peer)) {
        metrics.consoleRefused.inc({ reason: 'streams' });
        throw new Refusal(429, `too many open pages; at most ${streams.perKey} from one address`);
      }
      const told = Number(request.headers['last-event-id']);
      const last = told > 0 ? told : known.history.changes.newest();
      reply.hijack();
      const response = reply.raw;
      const set = Object.entries(reply.getHeaders()).filter(([, value]) => value !== undefined);
      const type = { 'content-type': 'text/event-stream' };
      response.writeHead(200, { ...(Object.fromEntries(set) as Record<string, string>), ...type });
      const reader = { response, authorization, peer, last };
      if (readers.size === 0) timer = setInterval(turn, everyMs);
      readers.add(reader);
      metrics.consoleStreams.set(readers.size);
      response.on('close', () => leave(reader));
      await send(reader);
    },
    stop() {
      clearInterval(timer);
      for (const { response } of readers) response.end();
    },
  };
}
