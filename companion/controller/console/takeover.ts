import { createHmac, timingSafeEqual } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import type { IncomingMessage } from 'node:http';
import { get } from 'node:https';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { createGunzip, createGzip } from 'node:zlib';
import type { Logger } from 'pino';
import { controllerServerName } from '../../contract/rpc.ts';
import type { History } from '../../core/history/history.ts';
import { messageOf } from '../../frame/errors.ts';

/** A replica that starts takes the history over from one that runs. */

export type Keys = { certificate: string; key: string };

export const historyPath = '/internal/v1/history';
/** Longest time for the whole history; a replica starts without it after that. */
const takeoverMs = 20_000;
/** Most bytes of the text: 20,000 edges with 984 bins take 250 MB in the worst case. */
const bytesMax = 300e6;
/** Replicas that are asked, one after the other. */
const peersMax = 4;

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
};

/** Never fails: without another replica, history begins now, which the page says. */
export async function takeOver(options: TakeoverOptions): Promise<'taken' | 'none'> {
  const { service, log, addresses = addressesOf } = options;
  const peers = await addresses(service).catch(() => []);
  for (const peer of peers.slice(0, peersMax)) {
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

async function takeFrom({ history, keys, port }: TakeoverOptions, peer: string): Promise<void> {
  const signal = AbortSignal.timeout(takeoverMs);
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const headers = { authorization: proofOf(keys) };
    const server = { ca: keys.certificate, servername: controllerServerName };
    get({ ...server, host: peer, port, path: historyPath, headers, signal }, resolve).on(
      'error',
      reject,
    );
  });
  if (response.statusCode !== 200) {
    response.destroy();
    throw new Error(`status ${response.statusCode}`);
  }
  const unpacked = response.pipe(createGunzip());
  // A pipe passes no error on.
  response.on('error', (error) => unpacked.destroy(error));
  let bytes = 0;
  unpacked.on('data', (part: Buffer) => {
    bytes += part.length;
    if (bytes > bytesMax) unpacked.destroy(new Error(`more than ${bytesMax} bytes`));
  });
  const failed = new Promise<never>((_, reject) => unpacked.on('error', reject));
  const taken = (async () => {
    const take = history.unpack();
    for await (const line of createInterface({ input: unpacked })) take(line);
  })();
  await Promise.race([taken, failed]);
}
