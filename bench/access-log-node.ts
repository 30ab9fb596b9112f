import { type ClientHttp2Stream, connect } from 'node:http2';
import { createConnection } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
import { ensureApp } from '../box/artifacts/binaries.ts';
import { framed } from '../box/played/log-messages.ts';
import { decodeLogMessage } from '../companion/contract/access-log.ts';
import { logPaths } from '../companion/node/access-log-server.ts';
import { startReceiver } from './access-log-envoy.ts';
import { startSidecar } from './access-log-proxies.ts';
import type { BenchOptions } from './bench.ts';
import { addressOf, type LoneNode, startNodeAlone } from './lone-node.ts';
import { cpuSeconds, resetPeak, residentBytes } from './process.ts';
import { type Row, row } from './result.ts';
import { startUpstream } from './upstream.ts';

/** A busy node: two workers of Envoy a pod, each with a stream, 100 destinations each. */
const load = { pods: 40, workers: 2, destinations: 100, callsEach: 6 };
/** 160 MiB, the limit of the container (manifests/base/node.yaml). */
const aim = { perSecond: 50_000, megabytes: 168 };
/** The rate exceeds the aim by this factor, so that late timers do not decide the result. */
const margin = 1.04;

/** A message as Envoy sent it, framed for a gRPC stream. */
type Message = { bytes: Buffer; entries: number };

/** Entries a second, CPU and memory of a node companion, with messages that a real Envoy wrote. */
export async function accessLogNode({ quick, say }: BenchOptions): Promise<Row[]> {
  const seconds = quick ? 4 : 20;
  const messages = await messagesOfEnvoy(say);
  const entries = messages.reduce((sum, each) => sum + each.entries, 0);
  const bytes = messages.reduce((sum, each) => sum + each.bytes.length, 0);
  const source = { 'lazyscope.io/source': 'access-log' };
  const { node, stop } = await startNodeAlone(say, load.pods, source);
  try {
    const idle = await residentBytes(node.pid);
    const steady = await send(node, messages, { perSecond: aim.perSecond * margin, seconds });
    say(`at a steady rate: ${JSON.stringify(steady)}`);
    const most = await send(node, messages, { perSecond: Number.POSITIVE_INFINITY, seconds });
    say(`as fast as it takes them: ${JSON.stringify(most)}`);
    const [atLeast, atMost] = [aim.perSecond, aim.megabytes];
    return [
      row('Envoy', 'bytes of an entry', bytes / entries, 'B'),
      row('Envoy', 'entries of a message', entries / messages.length, 'count'),
      row('node, idle', 'RSS', idle.now / 1e6, 'MB'),
      row('node, steady', 'entries', steady.perSecond, '1/s', { atLeast }),
      row('node, steady', 'messages dropped', steady.dropped, 'count', { atMost: 0 }),
      row('node, steady', 'RSS, peak', steady.megabytes, 'MB', { atMost }),
      row('node, steady', 'CPU', steady.cores, 'cores'),
      row('node, saturated', 'entries', most.perSecond, '1/s', { atLeast }),
      row('node, saturated', 'messages dropped', most.dropped, 'count'),
      row('node, saturated', 'RSS, peak', most.megabytes, 'MB', { atMost }),
      row('node, saturated', 'CPU', most.cores, 'cores'),
    ];
  } finally {
    await stop();
  }
}

/** Calls every destination by a real Envoy, and keeps what it says of that. */
async function messagesOfEnvoy(say: BenchOptions['say']): Promise<Message[]> {
  const hosts = Object.fromEntries(
    Array.from({ length: load.destinations }, (_, i) => {
      const host = `service-${i}.namespace-${i % 20}`;
      return [`${host}:9080`, `outbound|9080||${host}.svc.cluster.local`];
    }),
  );
  const upstream = await startUpstream(await ensureApp(say));
  const calls = load.destinations * load.callsEach;
  const receiver = await startReceiver(calls);
  const ports = { upstream: upstream.port, accessLog: receiver.port, companion: 9 };
  const envoy = await startSidecar({ variant: 'component', ports, hosts, file: '' });
  const pool = new Pool(`http://127.0.0.1:${envoy.port('http')}`, { connections: 1 });
  const has = () => receiver.messages.reduce((sum, each) => sum + entriesOf(each), 0);
  try {
    for (let i = 0; i < load.callsEach; i++) {
      for (const host of Object.keys(hosts)) {
        const headers = { host, 'user-agent': 'Go-http-client/1.1' };
        const { body } = await pool.request({ method: 'GET', path: '/healthz', headers });
        await body.dump();
      }
    }
    while (has() < calls) await sleep(50);
    return receiver.messages.map((each) => ({ bytes: framed(each), entries: entriesOf(each) }));
  } finally {
    await pool.close();
    await envoy.stop();
    await receiver.stop();
    await upstream.stop();
  }
}

function entriesOf(message: Buffer): number {
  const { calls, broken } = decodeLogMessage(message);
  if (broken > 0) throw new Error('the reader does not understand an entry of a real Envoy');
  return calls.length;
}

type Pace = { perSecond: number; seconds: number };

/** Sends the messages from all pods for a duration and returns the node's figures. */
async function send(node: LoneNode, messages: readonly Message[], { perSecond, seconds }: Pace) {
  const streams = load.pods * load.workers;
  const entries = messages.reduce((sum, each) => sum + each.entries, 0) / messages.length;
  const pauseMs = (1000 * streams * entries) / perSecond;
  const counts = () =>
    Promise.all(['entries', 'dropped'].map((n) => node.metric(`lazyscope_node_log_${n}_total`)));
  const before = await counts();
  await resetPeak(node.pid);
  const cpu = await cpuSeconds(node.pid);
  const started = performance.now();
  const until = started + seconds * 1000;
  await Promise.all(
    Array.from({ length: streams }, (_, i) => playWorker(node, { messages, i, pauseMs, until })),
  );
  const elapsed = (performance.now() - started) / 1000;
  const cores = ((await cpuSeconds(node.pid)) - cpu) / elapsed;
  const { peak } = await residentBytes(node.pid);
  const after = await counts();
  const [read = 0, dropped = 0] = after.map((count, i) => count - (before[i] ?? 0));
  return { perSecond: read / elapsed, dropped, megabytes: peak / 1e6, cores };
}

type Worker = { messages: readonly Message[]; i: number; pauseMs: number; until: number };

/** A worker of Envoy with its own connection, which waits only if the window is full. */
async function playWorker(node: LoneNode, { messages, i, pauseMs, until }: Worker): Promise<void> {
  const localAddress = addressOf(i % load.pods);
  const { accessLogPort: port } = node;
  const session = connect('http://127.0.0.1', {
    createConnection: () => createConnection({ host: '127.0.0.1', port, localAddress }),
  });
  const stream: ClientHttp2Stream = session.request({
    ...{ ':method': 'POST', ':path': logPaths.stream, te: 'trailers' },
    'content-type': 'application/grpc',
  });
  const closed = new Promise<void>((resolve, reject) => {
    stream.once('close', resolve);
    stream.once('error', reject);
  });
  stream.resume();
  let due = performance.now() + Math.random() * Math.min(pauseMs, 1000);
  for (let sent = i; performance.now() < until; sent++) {
    await sleep(Math.max(0, due - performance.now()));
    due += pauseMs;
    const { bytes } = messages[sent % messages.length] as Message;
    if (!stream.write(bytes)) await new Promise((resolve) => stream.once('drain', resolve));
  }
  stream.end();
  await closed;
  session.close();
}
