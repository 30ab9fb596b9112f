import { setTimeout as sleep } from 'node:timers/promises';
import { Option } from 'commander';
import { type Heard, topOf, topText } from '../core/top.ts';
import { askConsole, type ConsoleAccess, openConsole } from '../frame/console.ts';
import { namespaceOf, type Verb } from '../frame/verb.ts';

/** First calls and changes are rare: a quarter of an hour shows some. */
const backMinutes = 15;
/** The controllers allow one address 20 requests a second; this makes two in that time. */
const everyMs = 2_000;
/** To the upper left corner, and clear what is below. */
const redraw = '\u001b[H\u001b[J';

export const topVerb: Verb = {
  usage: 'top',
  about: 'live: calls a second by edge, first calls by strategy, what was learned and expired',
  example: ['lazyscope top -A', 'lazyscope top -n shop --once -o json'],
  options: [
    new Option('--once', 'print once and end; also without a terminal, and for JSON and YAML'),
  ],
  async run(session) {
    const { options, out } = session;
    const namespace = await namespaceOf(session);
    const cluster = await session.cluster();
    const access = await openConsole(cluster, { warn: out.warn });
    const isText = options.output === 'table' || options.output === 'wide';
    const isLive = out.isTerminal && isText && !options.once;
    try {
      do {
        const heard = await hear(access, namespace);
        const top = topOf(heard, { namespace, backMs: backMinutes * 60_000 });
        if (isLive) out.write(redraw);
        session.show({ data: top, text: (view) => topText(top, backMinutes, view) });
        if (isLive) await sleep(everyMs);
      } while (isLive);
    } finally {
      access.close();
    }
    return undefined;
  },
};

async function hear(access: ConsoleAccess, namespace: string | undefined): Promise<Heard> {
  const query = new URLSearchParams({ minutes: '1', ...(namespace && { namespace }) });
  const [topology, { changes }] = await Promise.all([
    askConsole<Heard['topology']>(access, `/api/v1/topology?${query}`),
    askConsole<Pick<Heard, 'changes'>>(access, '/api/v1/changes?since=0'),
  ]);
  return { topology, changes };
}
