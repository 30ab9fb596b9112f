import { counted } from '../core/mesh/counted.ts';
import type { Stats } from './loader.ts';

/**
 * Whether the bypass does harm or no good on this node, by the figures of one loader. Pure: the
 * caller keeps the state and passes the time.
 */
export type Health = {
  /** The figures at the begin of the window. */
  base: Stats;
  /** Milliseconds of a clock that does not jump. */
  at: number;
  /** Windows in a row in which hardly anything was redirected. */
  idleWindows: number;
};

type Judged = { health: Health; unwell?: string };

/** Figures are compared over this time. */
export const windowMs = 60_000;
/** Each such read failed in an application; one may be a program that was about to switch. */
export const wokenMax = 3;
/** Connections that found no room: below this many the share says nothing. */
export const connectionsMin = 100;
const refusedShare = 0.1;
/**
 * A socket in the map is slower on the stack than others: where less than this share of many
 * messages was redirected in each of three windows, workloads lose by the bypass.
 */
export const messagesMin = 10_000;
const redirectedShare = 0.05;
export const idleWindowsMax = 3;

export function judge(health: Health | undefined, stats: Stats, now: number): Judged {
  if (!health) return { health: { base: stats, at: now, idleWindows: 0 } };
  const { base, at, idleWindows } = health;
  const grown = (name: string) => (stats.counters[name] ?? 0) - (base.counters[name] ?? 0);
  const woken = grown('woken');
  if (woken >= wokenMax) {
    const times = counted(woken, 'blocking read');
    return { health, unwell: `${times} of accelerated sockets failed within a minute` };
  }
  if (grown('repeated_kept') > 0) {
    return { health, unwell: 'data that arrived twice could not be removed, for want of memory' };
  }
  if (now - at < windowMs) return { health };
  const next: Health = {
    base: stats,
    at: now,
    idleWindows: isIdle(base, stats) ? idleWindows + 1 : 0,
  };
  const lacking = grown('no_room') + grown('no_storage') + grown('no_connection');
  const seen = grown('client_seen') + grown('server_seen');
  if (seen >= connectionsMin && lacking >= refusedShare * seen) {
    return { health: next, unwell: `${lacking} of ${seen} sockets found no room in its tables` };
  }
  if (next.idleWindows >= idleWindowsMax) {
    const minutes = counted(idleWindowsMax, 'minute');
    const why = 'workloads lose by it: hardly any message was redirected';
    return { health: next, unwell: `${why} in ${minutes}` };
  }
  return { health: next };
}

function isIdle(base: Stats, { hops }: Stats): boolean {
  const sum = (key: 'redirectedMessages' | 'stackMessages') =>
    (['other', 'outbound', 'inbound'] as const).reduce(
      (all, hop) => all + hops[hop][key] - base.hops[hop][key],
      0,
    );
  const redirected = sum('redirectedMessages');
  const messages = redirected + sum('stackMessages');
  return messages >= messagesMin && redirected < redirectedShare * messages;
}
