import { createHash, randomBytes } from 'node:crypto';
import { Agent, createServer, request } from 'node:http';

// Both ends of an exchange of random bodies. Each end sends the hash of its body with the body.
//   exchange-app.ts serve PORT
//   exchange-app.ts load JSON        (options below; prints the results of the requests)

export type LoadOptions = {
  host: string;
  port: number;
  /** Undefined means until SIGTERM. */
  seconds?: number;
  /** The load continues beyond its time until it has made this many requests. The default is 1. */
  least?: number;
  connections: number;
  /** Bodies have 1 byte to this many bytes, and the logarithm of the size is uniform. */
  bytesMax: number;
  /** Milliseconds to wait before the client reads each piece of a response. */
  slowMs?: number;
  /** Every second request asks the server to close the connection. */
  churn?: boolean;
};

export type LoadResult = {
  requests: number;
  failed: number;
  different: number;
  errors: Record<string, number>;
};

/** A request without a byte for this many milliseconds hangs. */
const silentMs = 30_000;

const pool = randomBytes(17 << 20);

function body(bytesMax: number): Buffer {
  const size = Math.max(1, Math.floor(bytesMax ** Math.random()));
  const from = Math.floor(Math.random() * (pool.length - size));
  return pool.subarray(from, from + size);
}

const digest = (data: Buffer) => createHash('sha256').update(data).digest('hex');

function serve(port: number): void {
  createServer((incoming, outgoing) => {
    const hash = createHash('sha256');
    incoming.on('data', (piece) => hash.update(piece));
    incoming.on('end', () => {
      const reply = body(Number(incoming.headers['x-bytes-max']));
      outgoing.setHeader('x-got', hash.digest('hex'));
      outgoing.setHeader('x-sent', digest(reply));
      outgoing.end(reply);
    });
  }).listen(port, '127.0.0.1');
}

function one(options: LoadOptions, agent: Agent, close: boolean): Promise<'same' | 'different'> {
  const data = body(options.bytesMax);
  return new Promise((resolve, reject) => {
    const headers = {
      'x-bytes-max': String(options.bytesMax),
      ...(close ? { connection: 'close' } : {}),
    };
    const { host, port } = options;
    const outgoing = request({ host, port, method: 'POST', agent, headers }, (incoming) => {
      const hash = createHash('sha256');
      if (options.slowMs !== undefined) slowDown(incoming, options.slowMs);
      incoming.on('data', (piece) => hash.update(piece));
      incoming.on('error', reject);
      incoming.on('end', () => {
        if (incoming.statusCode !== 200) return reject(new Error(`status ${incoming.statusCode}`));
        const { 'x-got': got, 'x-sent': sent } = incoming.headers;
        resolve(got === digest(data) && sent === hash.digest('hex') ? 'same' : 'different');
      });
    });
    outgoing.setTimeout(silentMs, () => outgoing.destroy(new Error(`no byte for ${silentMs} ms`)));
    outgoing.on('error', reject);
    outgoing.end(data);
  });
}

function slowDown(incoming: import('node:http').IncomingMessage, ms: number): void {
  incoming.on('data', () => {
    incoming.pause();
    setTimeout(() => incoming.resume(), ms);
  });
}

async function load(options: LoadOptions): Promise<LoadResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: options.connections });
  const { seconds = Number.POSITIVE_INFINITY, least = 1 } = options;
  let end = Date.now() + seconds * 1000;
  process.once('SIGTERM', () => {
    end = 0;
  });
  // From here on the load handles SIGTERM.
  console.error('begun');
  const errors: Record<string, number> = {};
  const result = { requests: 0, failed: 0, different: 0, errors };
  const worker = async () => {
    while (Date.now() < end || result.requests < least) {
      result.requests++;
      try {
        const close = options.churn === true && result.requests % 2 === 0;
        if ((await one(options, agent, close)) === 'different') result.different++;
      } catch (error) {
        result.failed++;
        const { message } = error as Error;
        errors[message] = (errors[message] ?? 0) + 1;
      }
    }
  };
  await Promise.all(Array.from({ length: options.connections }, worker));
  agent.destroy();
  return result;
}

const [what, argument = ''] = process.argv.slice(2);
if (what === 'serve') serve(Number(argument));
else if (what === 'load') console.log(JSON.stringify(await load(JSON.parse(argument))));
