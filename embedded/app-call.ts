import { Agent, request } from 'node:http';
import { text } from 'node:stream/consumers';
import type { Seen } from './backend.ts';
import type { Network, Place } from './network.ts';

/** One request of an app, and its result. */
export type Reply = {
  /** 0: no answer arrived. */
  status: number;
  milliseconds: number;
  /** The request as the backend saw it, if a backend answered. */
  seen: Seen | undefined;
  /** Body of any other answer, or the reason why no answer arrived. */
  text: string;
};

export type CallOptions = { method?: string; body?: string; keepAlive?: boolean };

/** The app in one pod. Connections are kept per address, as an app does. */
export type App = {
  /** `url` in the app's form: `http://cart:8080/path`. */
  call(url: string, options?: CallOptions): Promise<Reply>;
  stop(): void;
};

const timeoutMs = 10_000;

export function createApp(network: Network, place: Place): App {
  const agents = new Map<string, Agent>();

  function agentFor(ip: string, port: number): Agent {
    const key = `${ip}:${port}`;
    const known = agents.get(key);
    if (known) return known;
    const agent = new Agent({ keepAlive: true });
    agent.createConnection = () => network.connectFrom(place, ip, port);
    agents.set(key, agent);
    return agent;
  }

  return {
    async call(url, { method = 'GET', body, keepAlive = false } = {}) {
      const { hostname, port: given, host, pathname, search } = new URL(url);
      const port = Number(given || 80);
      const ip = network.resolve(hostname, place.namespace);
      if (!ip) throw new Error(`${url}: the mesh has no such service`);
      const started = performance.now();
      const answer = await new Promise<{ status: number; text: string }>((resolve) => {
        const fail = (error: Error) => resolve({ status: 0, text: error.message });
        const outgoing = request(
          {
            method,
            path: pathname + search,
            headers: { host },
            timeout: timeoutMs,
            ...(keepAlive
              ? { agent: agentFor(ip, port) }
              : { createConnection: () => network.connectFrom(place, ip, port) }),
          },
          async (response) => {
            const status = response.statusCode ?? 0;
            text(response).then((body) => resolve({ status, text: body }), fail);
          },
        );
        outgoing.on('error', fail);
        outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer in ${timeoutMs} ms`)));
        outgoing.end(body);
      });
      const milliseconds = performance.now() - started;
      const isSeen = answer.text.startsWith('{"backend"');
      return {
        ...answer,
        milliseconds,
        seen: isSeen ? (JSON.parse(answer.text) as Seen) : undefined,
      };
    },
    stop() {
      for (const agent of agents.values()) agent.destroy();
    },
  };
}
