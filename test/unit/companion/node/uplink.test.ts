import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  type Certificate,
  makeCertificate,
  startFakeController,
} from '../../../../box/played/fake-controller.ts';
import { httpCall, log, podOf, testMetrics } from '../../../../box/played/fixtures.ts';
import { filterReport } from '../../../../box/played/report-body.ts';
import { createAggregate } from '../../../../companion/node/aggregate.ts';
import { createQuestions } from '../../../../companion/node/questions.ts';
import { startUplink } from '../../../../companion/node/uplink.ts';
import { eventually } from './running-node.ts';

// These tests use real sockets and timers and may run on a busy machine.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

const pod = podOf('cart');
const stops: (() => unknown)[] = [];
let certificate: Certificate;
let stranger: Certificate;

beforeAll(async () => {
  certificate = await makeCertificate();
  stranger = await makeCertificate();
});
afterAll(async () => {
  await certificate.remove();
  await stranger.remove();
});
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

function connect(port: number, addresses: () => string[], overrides = {}) {
  const now = () => performance.now();
  const { metrics, value } = testMetrics();
  const questions = createQuestions({
    send: (question) => uplink.ask(question),
    answerMs: 5_000,
    metrics,
    log,
    now,
  });
  const aggregate = createAggregate({ metrics, now });
  const uplink = startUplink({
    service: 'controllers.example',
    port,
    hello: { node: 'worker-1', version: '0.1.0' },
    ca: async () => certificate.certificate,
    tokenPath: certificate.tokenPath,
    aggregate,
    metrics,
    log,
    now,
    onAnswer: questions.answered,
    onOpened: () => undefined,
    onEnded: () => undefined,
    onCatalog: () => undefined,
    resolve: async () => addresses(),
    ...overrides,
  });
  stops.push(uplink.stop);
  return { uplink, questions, aggregate, value };
}

async function startControllers() {
  const first = await startFakeController(certificate);
  stops.push(first.stop);
  const second = await startFakeController(certificate, `127.0.0.2:${first.port}`);
  stops.push(second.stop);
  return { first, second };
}

describe('with two controllers', () => {
  it('both get every question, and the first valid answer counts', async () => {
    const { first, second } = await startControllers();
    first.answer = () => undefined;
    second.answer = () => ({ strategy: 'direct' });
    const { questions, value } = connect(first.port, () => ['127.0.0.1', '127.0.0.2']);
    await eventually(async () => (await value('node_controller_streams')) === 2);
    expect(await questions.ask(pod, httpCall)).toMatchObject({ strategy: 'direct' });
    first.answer = () => ({ strategy: 'teleport' });
    expect(await questions.ask(pod, httpCall)).toMatchObject({ strategy: 'direct' });
    await eventually(() => first.questions().length === 2 && second.questions().length === 2);
  });

  it('both get every report', async () => {
    const { first, second } = await startControllers();
    const { uplink, aggregate, value } = connect(first.port, () => ['127.0.0.1', '127.0.0.2']);
    await eventually(async () => (await value('node_controller_streams')) === 2);
    aggregate.record(pod, filterReport('x', 1, { a: 1 }));
    uplink.changed(pod.uid, true);
    for (const controller of [first, second]) {
      const sent = await eventually(() => controller.reports('cart')[0]);
      expect(sent.edges).toMatchObject([{ cluster: 'a' }]);
    }
  });
});

describe('an untrusted controller', () => {
  it('is not connected if another CA signed it, and the failure is counted', async () => {
    const impostor = await startFakeController(stranger);
    stops.push(impostor.stop);
    const { value } = connect(impostor.port, () => ['127.0.0.1']);
    await eventually(
      async () => (await value('node_controller_stream_failures_total', { reason: 'connect' })) > 0,
    );
    expect(impostor.received).toEqual([]);
    expect(impostor.tokens).toEqual([]);
  });
});

it('looks for controllers every second while it has none, and rarely while it has one', async () => {
  const { first } = await startControllers();
  let lookups = 0;
  const found = () => {
    lookups += 1;
    return lookups < 3 ? [] : ['127.0.0.1'];
  };
  const started = performance.now();
  const { value } = connect(first.port, found);
  await eventually(async () => (await value('node_controller_streams')) === 1);
  // Two pauses of a second. The default pauses would be ten seconds in total.
  expect(performance.now() - started).toBeLessThan(8_000);
  const before = lookups;
  await sleep(2_500);
  expect(lookups).toBe(before);
});

it('doubles the time for a controller that was too slow to connect, up to four times', async () => {
  const lines: string[] = [];
  const heard = pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) });
  const silent = createServer((socket) => void socket.on('error', () => undefined).resume());
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  stops.push(() => silent.close());
  const { port } = silent.address() as AddressInfo;
  connect(port, () => ['127.0.0.1'], { connectMs: 100, log: heard });
  const limits = () =>
    lines.flatMap((line) => /not connected within (\d+) ms/.exec(line)?.[1] ?? []);
  await eventually(() => limits().length >= 4);
  expect(limits().slice(0, 4)).toEqual(['100', '200', '400', '400']);
});

it('logs once that the lookup fails, and again after a success', async () => {
  const { first } = await startControllers();
  const lines: string[] = [];
  const heard = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
  const failures = 'node_controller_stream_failures_total';
  const outcomes = [false, false, true, false];
  const lookedUp = () => {
    if (outcomes.shift() ?? false) return ['127.0.0.9'];
    throw new Error('ENOTFOUND');
  };
  const { value } = connect(first.port, lookedUp, { log: heard });
  await eventually(async () => (await value(failures, { reason: 'lookup' })) >= 3);
  expect(lines.filter((line) => line.includes('lookup of controllers failed'))).toHaveLength(2);
});

it('shows a new token on the same stream', async () => {
  const { first } = await startControllers();
  const { value } = connect(first.port, () => ['127.0.0.1'], { renewEveryMs: 10 });
  await eventually(async () => (await value('node_controller_streams')) === 1);
  const shown = () => first.received.flatMap(({ renew }) => (renew ? [renew.token] : []));
  await writeFile(certificate.tokenPath, '');
  await writeFile(certificate.tokenPath, 'token-2\n');
  await eventually(() => shown().at(-1) === 'token-2');
  await writeFile(certificate.tokenPath, 'token-1\n');
  await eventually(() => shown().at(-1) === 'token-1');
  // A file is empty for a moment while another process writes it.
  expect(shown()).not.toContain('');
  expect(first.tokens).toEqual(['Bearer token-1']);
});

describe('a missing part at the start', () => {
  it('is awaited: the CA', async () => {
    const { first } = await startControllers();
    let ca: Buffer | undefined;
    const { value } = connect(first.port, () => ['127.0.0.1'], { ca: async () => ca });
    const reason = { reason: 'ca' };
    await eventually(
      async () => (await value('node_controller_stream_failures_total', reason)) > 0,
    );
    ca = certificate.certificate;
    await eventually(async () => (await value('node_controller_streams')) === 1);
  });

  it('is counted: a token that cannot be read, a name that cannot be resolved', async () => {
    const { value } = connect(1, () => ['127.0.0.1'], { tokenPath: '/nonexistent' });
    const failures = 'node_controller_stream_failures_total';
    await eventually(async () => (await value(failures, { reason: 'token' })) > 0);
    const unnamed = connect(1, () => {
      throw new Error('ENOTFOUND');
    });
    await eventually(async () => (await unnamed.value(failures, { reason: 'lookup' })) > 0);
  });

  it('answers a question at once while there is no controller', async () => {
    const { questions } = connect(1, () => []);
    expect(await questions.ask(pod, httpCall)).toBeUndefined();
  });
});
