import { setTimeout as sleep } from 'node:timers/promises';
import type { Strategy } from '../companion/core/first-call/strategy.ts';
import type { Mesh, Sidecar } from '../embedded/mesh.ts';
import { namespace } from '../embedded/mesh.ts';
import { type ProxyFigures, proxyFigures, proxySummary } from '../embedded/proxy-figures.ts';
import type { Service } from '../embedded/services.ts';
import type { Traffic } from './traffic.ts';
import { megabytes } from './view.ts';

/** The output of `--json`. */
export type Result = {
  full: ProxyFigures;
  scoped: ProxyFigures;
  firstCalls: FirstCall[];
  /** `firstFailure` only if a request failed. */
  requests: { sent: number; failed: number; firstFailure?: string };
  seconds: number;
};

export type FirstCall = { strategy: string; status: number; milliseconds: number };

export type ScenarioOptions = {
  mesh: Mesh;
  cast: Cast;
  say(line: string): void;
  /** The strategy of the last answer about a host; undefined if nobody has asked. */
  answered(host: string): string | undefined;
  traffic: Traffic;
};

/** The roles of the services. */
export type Cast = {
  /** Called all the time. */
  steady: Service[];
  /** Called once at the beginning. */
  unused: Service;
  /** Called for the first time when the scope is in force. */
  gateway: Service;
  direct: Service;
  hold: Service;
};

export const castSize = 6;

export function castOf(services: readonly Service[]): Cast {
  const [a, b, unused, gateway, direct, hold] = services;
  if (!a || !b || !unused || !gateway || !direct || !hold) {
    throw new Error(`the demo needs ${castSize} services, there are ${services.length}: add some`);
  }
  return { steady: [a, b], unused, gateway, direct, hold };
}

/** Longer than any step takes on a busy machine. */
const patienceMs = 60_000;
const settleMs = 500;

/** The whole demo on a mesh that is up. */
export async function runScenario(options: ScenarioOptions): Promise<Omit<Result, 'seconds'>> {
  const { mesh, cast, say, traffic } = options;
  const [full, scoped] = [mesh.sidecar('full'), mesh.sidecar('scoped')];
  traffic.start();
  try {
    await traffic.call(scoped, urlOf(cast.unused));
    say('two apps call two services each; one of the apps called a third service, once');
    await narrow(options, scoped);
    const firstCalls = [
      await firstCall(options, scoped, 'gateway'),
      await firstCall(options, scoped, 'direct'),
      await firstCall(options, scoped, 'hold'),
    ];
    await expire(options);
    await traffic.stop();
    await restartScoped(options, scoped);
    const firstFailure = traffic.firstFailure();
    const requests = {
      ...{ sent: traffic.sent(), failed: traffic.failed() },
      ...(firstFailure === undefined ? {} : { firstFailure }),
    };
    if (firstFailure !== undefined) say(`FAILED: ${firstFailure}`);
    const [fullFigures, scopedFigures] = [
      await proxyFigures(full.proxy.envoy().admin),
      await proxyFigures(scoped.proxy.envoy().admin),
    ];
    return { full: fullFigures, scoped: scopedFigures, firstCalls, requests };
  } finally {
    await traffic.stop();
  }
}

export function urlOf({ name, namespace: of, ports: [port = 80] }: Service): string {
  return `http://${of === namespace ? name : `${name}.${of}`}:${port}/`;
}

function entryOf({ name, namespace: of }: Service): string {
  return `${of}/${name}.${of}.svc.cluster.local`;
}

/** The hosts of the scope that is in force. */
export function importedBy({ registry }: Mesh): string[] {
  const sidecar = registry.get('Sidecar', namespace, 'lazyscope-scoped');
  return sidecar ? sidecar.spec.egress[0].hosts : [];
}

async function narrow({ mesh, say }: ScenarioOptions, scoped: Sidecar): Promise<void> {
  const before = await proxySummary(scoped.proxy.envoy().admin);
  say(
    `both carry the whole mesh: ${before.clusters} clusters, ${megabytes(before.allocatedBytes)}`,
  );
  await until('the scope', () => importedBy(mesh).length > 0);
  // Envoy removes clusters after it has announced their removal.
  await sleep(settleMs);
  const after = await proxySummary(scoped.proxy.envoy().admin);
  const [clusters, memory] = [after.clusters, megabytes(after.allocatedBytes)];
  say(
    `one sidecar is narrowed to its learned hosts while it runs: ${clusters} clusters, ${memory}`,
  );
}

async function firstCall(
  { mesh, cast, say, answered, traffic }: ScenarioOptions,
  scoped: Sidecar,
  strategy: Exclude<Strategy, 'plain' | 'passthrough'>,
): Promise<FirstCall> {
  const service = cast[strategy];
  const url = urlOf(service);
  await mesh.setFirstCall('scoped', strategy);
  const throughGateway = await gatewayConnections(mesh);
  const called = performance.now();
  const first = await traffic.call(scoped, url);
  await until(`${service.name} in the scope`, () => importedBy(mesh).includes(entryOf(service)));
  const scopeMs = performance.now() - called;
  const byGateway = (await gatewayConnections(mesh)) > throughGateway;
  const second = await traffic.call(scoped, url);
  const way = { gateway: 'by the gateway', direct: 'straight', hold: 'held' }[strategy];
  const mismatch = byGateway === (strategy === 'gateway') ? '' : ' (the gateway says otherwise)';
  const [firstMs, secondMs] = [ms(first.milliseconds), ms(second.milliseconds)];
  say(`first call, ${strategy}: ${url} ${first.status} in ${firstMs}, ${way}${mismatch}`);
  say(`    the backend saw ${first.seen?.caller ?? 'nothing'}`);
  say(`    in the scope after ${ms(scopeMs)}; second call ${second.status} in ${secondMs}`);
  return {
    strategy: answered(service.name) ?? 'none',
    status: first.status,
    milliseconds: Math.round(first.milliseconds * 10) / 10,
  };
}

/** Number of connections that the lazy egress gateway has passed on. */
async function gatewayConnections({ gateway }: Mesh): Promise<number> {
  const stats = await gateway.envoy().admin('/stats?filter=downstream_cx_total$&usedonly');
  return stats.split('\n').reduce((sum, line) => sum + (Number(line.split(': ')[1]) || 0), 0);
}

function ms(value: number): string {
  return `${value.toFixed(0)} ms`;
}

async function expire({ mesh, cast, say }: ScenarioOptions): Promise<void> {
  const { unused } = cast;
  await until(`${unused.name} to expire`, () => !importedBy(mesh).includes(entryOf(unused)));
  say(`${unused.name} was not called again and has left the scope`);
}

/** The memory of a pod that starts with its scope, as after the next rollout. */
async function restartScoped({ mesh, say }: ScenarioOptions, scoped: Sidecar): Promise<void> {
  const before = await proxySummary(scoped.proxy.envoy().admin);
  await mesh.restart('scoped');
  const after = await proxySummary(scoped.proxy.envoy().admin);
  const [was, is] = [megabytes(before.physicalBytes), megabytes(after.physicalBytes)];
  say(
    `its next pod starts with the scope: ${is} of physical memory, after ${was} in the narrowed pod`,
  );
}

async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + patienceMs;
  while (!(await isSo())) {
    if (Date.now() > deadline) {
      throw new Error(`waited ${patienceMs / 1000} s for ${what}`);
    }
    await sleep(5);
  }
}
