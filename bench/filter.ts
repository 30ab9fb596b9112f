import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureApp } from '../box/artifacts/binaries.ts';
import {
  bootstrap,
  cluster,
  httpFilter,
  httpListener,
  type Json,
  knownCluster,
} from '../box/envoy/bootstrap.ts';
import { type Companion, gateway, passthrough, startCompanion } from '../box/envoy/companion.ts';
import { type Envoy, startEnvoy } from '../box/envoy/envoy.ts';
import { routeConfig } from '../box/envoy/routes.ts';
import type { BenchOptions } from './bench.ts';
import { costOf, without } from './envoy-cost.ts';
import { compileNoOpFilter } from './no-op-filter.ts';
import { type Row, row } from './result.ts';
import { median } from './statistics.ts';
import { startUpstream, type Upstream } from './upstream.ts';

/** A busy Envoy does more for each wake-up, so that a filter is a larger share of what is left. */
const loads = {
  calm: { rps: 2000, connections: 4 },
  busy: { rps: 5000, connections: 64 },
} as const;
type Load = keyof typeof loads;

const filters = ['none', 'no callback', 'no-op', 'ours'] as const;
type Filter = (typeof filters)[number];

/** The requested host: it has its own route, or the filter has an answer for it. */
const calls = {
  known: 'reviews:9080',
  'unknown, passthrough': 'outside.app:9080',
  'unknown, gateway': 'gateway.app:9080',
} as const;
type Call = keyof typeof calls;

/** Only our filter makes the hop to the gateway, so the comparison leaves the hop out. */
const cases: [Filter, Call][] = [
  ...filters.map((filter): [Filter, Call] => [filter, 'known']),
  ...filters.map((filter): [Filter, Call] => [filter, 'unknown, passthrough']),
  ['ours', 'unknown, gateway'],
];

/**
 * CPU time of Envoy per request: without a filter, with one that has no callback, with one that
 * does nothing in its callback, with ours.
 */
export async function filter({ quick, say }: BenchOptions): Promise<Row[]> {
  const rounds = quick ? 3 : 8;
  const seconds = quick ? 2 : 3;
  const app = await ensureApp(say);
  const folder = await mkdtemp(join(tmpdir(), 'lazyscope-bench-'));
  const companion = await startCompanion();
  const upstream = await startUpstream(app);
  const proxies = new Map<Filter, Envoy>();
  const proxyOf = (each: Filter) => {
    const proxy = proxies.get(each);
    if (!proxy) throw new Error(`no proxy with filter ${each}`);
    return proxy;
  };
  try {
    const modules = {
      'no callback': join(folder, 'none.wasm'),
      'no-op': join(folder, 'no-op.wasm'),
    };
    for (const which of ['no callback', 'no-op'] as const)
      await writeFile(modules[which], await compileNoOpFilter(which));
    companion.answer = ({ authority }) => ({
      ...(authority === calls['unknown, gateway'] ? gateway() : passthrough),
      'x-lazyscope-ttl': '3600',
    });
    for (const each of filters)
      proxies.set(each, await startProxy(each, modules, upstream, companion));

    const costs = new Map<string, number[]>();
    // The first round warms up: connections, the answers, V8's optimizing compiler.
    for (let round = 0; round <= rounds; round++) {
      for (const name of ['calm', 'busy'] as const) {
        for (const [each, call] of cases) {
          const load = { ...loads[name], host: calls[call], seconds };
          const cost = await costOf(proxyOf(each), app, load);
          const key = keyOf(name, each, call);
          if (round > 0) costs.set(key, [...(costs.get(key) ?? []), cost]);
        }
      }
      say(`round ${round} of ${rounds}`);
    }
    return rowsOf(costs);
  } finally {
    for (const proxy of proxies.values()) await proxy.stop();
    await upstream.stop();
    await companion.stop();
    await rm(folder, { recursive: true });
  }
}

const keyOf = (load: Load, each: Filter, call: Call) => `${load}, ${call}: ${each}`;

function rowsOf(costs: Map<string, number[]>): Row[] {
  return (['calm', 'busy'] as const).flatMap((load) => {
    const of = (each: Filter, call: Call) => costs.get(keyOf(load, each, call)) ?? [];
    // Compares runs that are adjacent in time, so that other load on the machine cancels out.
    const pairwise = (a: number[], b: number[], how: (x: number, y: number) => number) =>
      median(a.map((cost, i) => how(cost, b[i] ?? Number.NaN)));
    const compared = (['known', 'unknown, passthrough'] as const).flatMap((call) => {
      const [ours, noOp, none] = [of('ours', call), of('no-op', call), of('none', call)];
      const subject = `${load}, ${call}`;
      const ratio = (a: number[], b: number[]) => pairwise(a, b, (x, y) => x / y);
      const more = (each: Filter) => pairwise(of(each, call), none, (x, y) => x - y);
      return [
        row(subject, 'ours / no-op', ratio(ours, noOp), 'ratio', { atMost: 1.15 }),
        row(subject, 'ours / none', ratio(ours, none), 'ratio'),
        ...(['ours', 'no-op', 'no callback'] as const).map((each) =>
          row(subject, `${each} - none`, more(each), 'us'),
        ),
      ];
    });
    const absolute = cases.map(([each, call]) =>
      row(`${load}, ${call}`, `CPU per request, ${each}`, median(of(each, call)), 'us'),
    );
    return [...absolute, ...compared];
  });
}

async function startProxy(
  which: Filter,
  modules: Record<'no callback' | 'no-op', string>,
  upstream: Upstream,
  companion: Companion,
): Promise<Envoy> {
  const routes = { [calls.known]: knownCluster };
  const listener = httpListener('http', { route_config: routeConfig(routes) }, httpFilter({}));
  const listeners = {
    none: without(listener, 'app.lazyscope'),
    'no callback': withModule(listener, modules['no callback']),
    'no-op': withModule(listener, modules['no-op']),
    ours: listener,
  };
  return startEnvoy(
    bootstrap(
      [listeners[which]],
      [
        cluster(knownCluster, upstream.port),
        cluster('PassthroughCluster', upstream.port),
        cluster('lazyscope-egress', upstream.port),
        cluster('lazyscope-direct', upstream.port),
        cluster('lazyscope-node', companion.port),
        cluster('lazyscope-hold', companion.port),
      ],
    ),
  );
}

/** A copy with another Wasm module; nothing else in a listener is read from a file. */
function withModule(value: Json, path: string): Json {
  return JSON.parse(JSON.stringify(value), (key, each) => (key === 'filename' ? path : each));
}
