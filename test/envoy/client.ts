import { type Agent, request } from 'node:http';
import { text } from 'node:stream/consumers';
import type { Seen } from './upstreams.ts';

export type Reply = {
  status: number;
  text: string;
  /** The request as the upstream saw it, if an upstream replied. */
  seen: Seen | undefined;
};

type Options = { method?: string; path?: string; body?: string; agent?: Agent };

/** Sends one request to a listener on the loopback address. */
export async function call(
  port: number,
  headers: { [name: string]: string },
  { method = 'GET', path = '/', body, agent }: Options = {},
): Promise<Reply> {
  const reply = await new Promise<{ status: number; text: string }>((resolve, reject) => {
    const outgoing = request(
      { host: '127.0.0.1', port, method, path, headers, agent: agent ?? false },
      async (response) => {
        resolve({ status: response.statusCode ?? 0, text: await text(response) });
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
  const isSeen = reply.text.startsWith('{"server"');
  return {
    ...reply,
    seen: isSeen ? (JSON.parse(reply.text) as Seen) : undefined,
  };
}
