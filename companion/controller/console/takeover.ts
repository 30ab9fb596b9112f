import { createHmac, timingSafeEqual } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { createGunzip, createGzip } from 'node:zlib';
import type { Logger } from 'pino';
import { controllerServerName } from '../../contract/rpc.ts';
import type { History } from '../../core/history/history.ts';
import { counted } from '../../core/mesh/counted.ts';
import { messageOf } from '../../frame/errors.ts';

/** A replica that starts takes the history over from one that runs. */

export type Keys = { certificate: string; key: string };

export const historyPath = '/internal/v1/history';
/** Longest time for the whole history; a replica starts without it after that. */
const takeoverMs = 20_000;
/**
 * A replica hands its history over to one at a time, which takes a second or two. Another one asks
 * again, because the next replica may have a shorter history, or there may be none.
 */
export const busyTries = 8;
const busyPauseMs = 1_000;
/** Most bytes of the text: 20,000 edges with 984 full bins take 60 MB. */
export const packedBytesMax = 120e6;
/** Longest time for the beginnings of their histories. */
const beginningsMs = 5_000;
/** Replicas that are asked. */
const peersMax = 4;
/** Milliseconds since the epoch at which the history of the replica begins; also answers `HEAD`. */
export const beginsAtHeader = 'lazyscope-history-begins';

/**
 * The proof of a replica: made from the private key that only the controllers may read (Secret
 * lazyscope-serving), so no token is sent that would be worth something elsewhere.
 */
export function proofOf({ key }: Keys): string {
  return `Replica ${createHmac('sha256', key).update(historyPath).digest('base64url')}`;
}

export function isProof(keys: Keys, told: string | undefined): boolean {
  const [own, other] = [proofOf(keys), told ?? ''].map((text) => Buffer.from(text));
  return own !== undefined && other?.length === own.length && timingSafeEqual(own, other);
}

export function packed(history: History): Readable {
  function* lines() {
    for (const line of history.pack()) yield `${line}\n`;
  }
  return Readable.from(lines()).pipe(createGzip({ level: 1 }));
}

export type TakeoverOptions = {
  history: History;
  keys: Keys;
  log: Logger;
  port: number;
  /** The headless Service of the controllers. It has only replicas that are ready. */
  service: string;
  addresses?(service: string): Promise<string[]>;
  /** Before a replica that is busy is asked again. */
  pauseMs?: number;
};

/** Never fails: without another replica, history begins now, which the page says. */
export async function takeOver(options: TakeoverOptions): Promise<'taken' | 'none'> {
  const { service, log, addresses = addressesOf } = options;
  const peers = await addresses(service).catch(() => []);
  for (const peer of await longestFirst(options, peers.slice(0, peersMax))) {
    try {
      await takeFrom(options, peer);
      log.info({ peer }, 'history taken over');
      return 'taken';
    } catch (error) {
      log.warn({ peer, reason: messageOf(error) }, 'history not taken over');
    }
  }
  return 'none';
}

async function addressesOf(service: string): Promise<string[]> {
  return (await lookup(service, { all: true })).map(({ address }) => address);
}

/** A replica that once found no other one has a short history, which must not win. */
async function longestFirst(options: TakeoverOptions, peers: string[]): Promise<string[]> {
  const signal = AbortSignal.timeout(beginningsMs);
  const beginnings = await Promise.all(
    peers.map(async (peer) => {
      const answer = await ask(options, peer, { method: 'HEAD', signal }).catch(() => undefined);
      answer?.resume();
      // A replica that does not say, as those of earlier versions, comes last.
      return { peer, at: Number(answer?.headers[beginsAtHeader] ?? Infinity) };
    }),
  );
  return beginnings
    .sort((a, b) => (a.at < b.at ? -1 : Number(a.at > b.at)))
    .map(({ peer }) => peer);
}

function ask(
  { keys, port }: TakeoverOptions,
  peer: string,
  how: { method: 'GET' | 'HEAD'; signal: AbortSignal },
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: proofOf(keys) };
    const server = { ca: keys.certificate, servername: controllerServerName };
    const asked = { ...server, ...how, host: peer, port, path: historyPath, headers };
    request(asked, resolve).on('error', reject).end();
  });
}

async function askUntilFree(
  options: TakeoverOptions,
  peer: string,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  for (let tries = 1; ; tries++) {
    const response = await ask(options, peer, { method: 'GET', signal });
    const { statusCode } = response;
    if (statusCode === 200) return response;
    response.destroy();
    if (statusCode !== 429) throw new Error(`status ${statusCode}`);
    if (tries >= busyTries) throw new Error(`busy, asked ${counted(tries, 'time')}`);
    await sleep(options.pauseMs ?? busyPauseMs, undefined, { signal });
  }
}

async function takeFrom(options: TakeoverOptions, peer: string): Promise<void> {
  const signal = AbortSignal.timeout(takeoverMs);
  const response = await askUntilFree(options, peer, signal);
  const unpacked = response.pipe(createGunzip());
  // A pipe passes no error on.
  response.on('error', (error) => unpacked.destroy(error));
  let bytes = 0;
  unpacked.on('data', (part: Buffer) => {
    bytes += part.length;
    if (bytes > packedBytesMax) unpacked.destroy(new Error(`more than ${packedBytesMax} bytes`));
  });
  const failed = new Promise<never>((_, reject) => unpacked.on('error', reject));
  const taken = (async () => {
    const take = options.history.unpack();
    for await (const line of createInterface({ input: unpacked })) take(line);
  })();
  await Promise.race([taken, failed]);
}
