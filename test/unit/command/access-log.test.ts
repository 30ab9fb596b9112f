import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { createLineReader, lineBytesMax } from '../../../command/core/access-log.ts';
import { readerOfFormat } from '../../../command/core/log-format.ts';
import { emptyTally, tallyInto } from '../../../command/core/log-tally.ts';
import { commandLine, objectCluster } from './host.ts';
import { cartEntry, shopObjects } from './shop.ts';

const cart = 'outbound|80||cart.shop.svc.cluster.local';
const at = '2026-11-27T10:00:00.123Z';
/** A line of Istio's default text format. */
const textLine = (cluster = cart, agent = 'curl/8', time = at, path = '/a?b=c') =>
  `[${time}] "GET ${path} HTTP/1.1" 200 - via_upstream - "-" 0 12 3 2 "-" "${agent}" "id-1" "cart" "10.244.0.2:8080" ${cluster} 10.244.0.1:4000 10.96.0.2:80 10.244.0.1:5000 - default`;
const jsonLine = (more: object = {}) =>
  JSON.stringify({ start_time: at, upstream_cluster: cart, route_name: null, ...more });
const read = createLineReader();
const call = { cluster: cart, at: Date.parse(at) };

describe('a line', () => {
  test.each([
    ['Istio text', textLine(), { call }],
    [
      'text with quotes and a cluster in the user agent',
      textLine(cart, '" outbound|1||x "'),
      { call },
    ],
    ['text with blanks and brackets in the path', textLine(cart, 'a', at, '/x y] [z'), { call }],
    [
      'a TCP line',
      `[${at}] "- - -" 0 - - - "-" 1 2 3 - "-" "-" "-" "-" "10.0.0.1:1" ${cart} 10.0.0.2:1 10.0.0.3:2 10.0.0.4:3 - -`,
      { call },
    ],
    ['the name of the statistics', textLine(`${cart};`), { call }],
    ['no cluster', textLine('-'), { call: { ...call, cluster: '-' } }],
    ['Istio JSON', jsonLine(), { call }],
    [
      'JSON with null for a cluster',
      jsonLine({ upstream_cluster: null }),
      { call: { ...call, cluster: '-' } },
    ],
    [
      'the prefix of kubectl',
      `[pod/web-1/istio-proxy] ${textLine()}`,
      { call: { ...call, pod: { name: 'web-1' } } },
    ],
    [
      'the prefix before JSON',
      `[pod/web-1/istio-proxy] ${jsonLine()}`,
      { call: { ...call, pod: { name: 'web-1' } } },
    ],
    [
      'the envelope of Fluent Bit',
      JSON.stringify({
        log: `${textLine()}\n`,
        kubernetes: { pod_name: 'web-1', namespace_name: 'shop' },
      }),
      { call: { ...call, pod: { name: 'web-1', namespace: 'shop' } } },
    ],
    [
      'the envelope of OpenTelemetry around JSON',
      JSON.stringify({
        body: jsonLine(),
        resource: { attributes: { 'k8s.pod.name': 'web-1', 'k8s.namespace.name': 'shop' } },
      }),
      { call: { ...call, pod: { name: 'web-1', namespace: 'shop' } } },
    ],
    [
      'the envelope of Loki',
      JSON.stringify({ labels: { pod: 'web-1', namespace: 'shop' }, line: textLine() }),
      { call: { ...call, pod: { name: 'web-1', namespace: 'shop' } } },
    ],
    [
      'a line of the proxy itself',
      '2026-11-27T10:00:00.1Z\tinfo\txdsproxy\tconnected',
      { other: true },
    ],
    ['a line of the agent as JSON', '{"level":"info","msg":"x","time":"t"}', { other: true }],
    ['an empty line', '', { other: true }],
    ['half a line', textLine().slice(40), { broken: 'it does not begin with [START_TIME]' }],
    [
      'the beginning of a line',
      textLine().slice(0, 60),
      { broken: expect.stringContaining('is no cluster') },
    ],
    ['half of JSON', jsonLine().slice(0, 40), { broken: 'it begins like JSON and is none' }],
    ['JSON of something else', '{"a":1}', { broken: expect.stringContaining('JSON without') }],
    [
      'a line without end',
      'x'.repeat(lineBytesMax + 1),
      { broken: `longer than ${lineBytesMax} characters` },
    ],
  ])('is read: %s', (_, line, expected) => {
    expect(read(line)).toEqual(expected);
  });

  test('never makes the reader throw, whatever it holds', () => {
    const own = readerOfFormat('[%START_TIME%] %UPSTREAM_CLUSTER% "%REQ(:PATH)%"');
    const json = readerOfFormat('{"c":"%UPSTREAM_CLUSTER%"}');
    const anything = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.json(),
      fc.tuple(fc.string(), fc.nat()).map(([text, cut]) => textLine(cart, text).slice(0, cut)),
    );
    fc.assert(
      fc.property(anything, (line) => {
        for (const each of [read, own, json]) expect(Object.keys(each(line)).length).toBe(1);
      }),
    );
  });

  test('of any user agent and path gives the cluster behind them', () => {
    const field = fc.string().map((text) => text.replace(/[\n\r]/g, ''));
    fc.assert(
      fc.property(field, field, (agent, path) => {
        expect(read(textLine(cart, agent, at, path))).toEqual({ call });
      }),
    );
  });
});

describe('a format of the user', () => {
  test.each([
    ['%START_TIME% "%REQ(USER-AGENT)%" %UPSTREAM_CLUSTER%', `${at} "curl" ${cart};`],
    ['[%START_TIME%] %UPSTREAM_CLUSTER_RAW% %ROUTE_NAME%\n', `[${at}] ${cart} default`],
    ['<%START_TIME(%Y)%|%REQ(X?Y):20%> %UPSTREAM_CLUSTER%.', `<${at}|q> ${cart}.`],
    ['{"t":"%START_TIME%","up":"%UPSTREAM_CLUSTER%"}', `{"t":"${at}","up":"${cart}"}`],
  ])('%s is read', (format, line) => {
    expect(readerOfFormat(format)(line)).toEqual({ call });
  });

  test('a line that does not follow it is broken', () => {
    expect(readerOfFormat('a %UPSTREAM_CLUSTER% b')('c')).toEqual({
      broken: 'it does not follow the format',
    });
  });

  test.each(['%START_TIME% %REQ(:PATH)%', '{"a":"%START_TIME%"}'])(
    '%s is refused: no line would say where a call went',
    async (format) => {
      expect(() => readerOfFormat(format)).toThrow('%UPSTREAM_CLUSTER% is not in it');
    },
  );
});

test('every line is counted once, whatever it is', () => {
  const line = fc.constantFrom(
    ...[textLine(), textLine('-'), textLine('PassthroughCluster'), textLine('inbound|80||')],
    ...['nonsense', '', `[pod/web-1/istio-proxy] ${textLine()}`],
  );
  fc.assert(
    fc.property(fc.array(line, { maxLength: 30 }), (lines) => {
      const tally = emptyTally();
      const add = tallyInto(tally, read, { name: 'f', caller: undefined, namespace: 'shop' });
      for (const each of lines) add(each);
      const { calls, others, unknown, broken, nameless, byCaller } = tally;
      expect(calls + others + unknown + broken).toBe(lines.length);
      const seen = byCaller.get('shop/web-1')?.get('cart.shop.svc.cluster.local')?.count ?? 0;
      expect(seen + nameless).toBe(calls);
    }),
  );
});

describe('recommend', () => {
  let folder: string;
  const cluster = objectCluster(
    shopObjects().filter(({ kind }) => kind !== 'WorkloadScope'),
    { namespace: 'shop' },
  );
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lazyscope-recommend-'));
  });
  afterEach(() => rm(folder, { recursive: true }));
  const logged = async (lines: string[], name = 'web.log') => {
    const file = join(folder, name);
    const text = `${lines.join('\n')}\n`;
    await writeFile(file, name.endsWith('.gz') ? gzipSync(text) : text);
    return file;
  };
  const legacy = 'outbound|80||legacy.plain.svc.cluster.local';

  test('a Sidecar has what was called, what it needs besides, and what is not known', async () => {
    const file = await logged([
      ...[textLine(), textLine(), textLine(legacy, 'a', '2026-11-27T12:00:00.000Z')],
      ...['half a line', textLine('outbound|80||old.shop.svc.cluster.local')],
    ]);
    const { code, out, err } = await commandLine(`recommend ${file} --workload web`, cluster);
    expect(code).toBe(0);
    expect(out).toContain(
      `# Workload shop/web, recommended by logs from 2026-11-27T10:00:00Z to 2026-11-27T12:00:00Z. Confidence: low.`,
    );
    expect(out).toContain(
      'Left out, because no object of the cluster has them: old.shop.svc.cluster.local.',
    );
    expect(out).toContain(
      '# Predicted for a proxy: 11 of 15 clusters, 8.4MB of 8.7MB of memory,\n',
    );
    expect(out).toContain(`- ${cartEntry} # logged: 2 calls, last 2026-11-27T10:00:00Z\n`);
    expect(out).toContain('- shop/api.bank.example # eager: ');
    expect(parse(out).spec).toEqual({
      workloadSelector: { labels: { app: 'web' } },
      egress: [
        { hosts: ['plain/legacy.plain.svc.cluster.local', 'shop/api.bank.example', cartEntry] },
      ],
    });
    expect(err).toBe(
      `read 5 lines: 4 calls to hosts of the mesh, 0 to others, 0 other lines, 1 broken\nbroken: ${file}:4: it does not begin with [START_TIME]\n`,
    );
  });

  test('pods are known by their names, also those that are gone', async () => {
    const prefixed = (pod: string, cluster?: string) =>
      `[pod/${pod}/istio-proxy] ${textLine(cluster)}`;
    const file = await logged(
      [prefixed('web'), prefixed('cart-6d5f7c9b8-x7k2p', legacy), prefixed('nobody-1')],
      'all.log.gz',
    );
    const { out, err } = await commandLine(`recommend ${file}`, cluster);
    const names = parseAllDocuments(out).map((document) => document.toJS().metadata.name);
    expect(names).toEqual(['cart', 'web']);
    expect(err).toContain('no workload of the cluster with a sidecar: shop/nobody-1');
  });

  test('a second run writes only what changed', async () => {
    const target = join(folder, 'sidecars');
    const file = await logged([textLine()]);
    const line = `recommend ${file} --workload web --write ${target}`;
    expect((await commandLine(line, cluster)).out).toBe(`wrote ${target}/shop/web.yaml\n`);
    expect((await commandLine(line, cluster)).out).toBe(`same ${target}/shop/web.yaml\n`);
    await logged([textLine(), textLine(legacy)]);
    expect((await commandLine(line, cluster)).out).toBe(`wrote ${target}/shop/web.yaml\n`);
    expect(await readFile(join(target, 'shop/web.yaml'), 'utf8')).toContain('plain/legacy');
  });

  test('what scopes have learned can be included', async () => {
    const file = await logged([textLine(legacy)]);
    const { out } = await commandLine(
      `recommend ${file} --workload web --learned -n shop`,
      objectCluster(shopObjects()),
    );
    expect(out).toContain(`- ${cartEntry} # learned: since 2026-11-20T08:30:00Z\n`);
    const alone = await commandLine('recommend --learned -n shop', objectCluster(shopObjects()));
    expect(alone.out).toContain('recommended by what its WorkloadScope has learned.');
  });

  test.each([
    ['recommend nowhere.log --workload web', 65, 'nowhere.log cannot be read'],
    ['recommend', 64, 'there is no source of calls'],
    ['recommend --range 1s', 64, 'is no number of m, h, d or w'],
    ['recommend FILE', 65, 'no call of a workload is in these logs'],
    [
      'recommend FILE --workload web --log-format %START_TIME%',
      64,
      '%UPSTREAM_CLUSTER% is not in it',
    ],
  ])('%s ends with code %i', async (line, expected, text) => {
    const file = await logged([textLine()]);
    const { code, out, err } = await commandLine(line.replace('FILE', file), cluster);
    expect([code, out]).toEqual([expected, '']);
    expect(err).toContain(text);
    expect(err).toContain('remedy: ');
  });
});
