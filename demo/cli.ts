import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { messageOf } from '../companion/frame/errors.ts';
import { ensureEnvoy } from '../embedded/envoy-binary.ts';
import { type Mesh, startMesh } from '../embedded/mesh.ts';
import type { EnvoyProxy } from '../embedded/proxy.ts';
import { type ProxySummary, proxySummary } from '../embedded/proxy-figures.ts';
import { type Service, ServicesFileError } from '../embedded/services.ts';
import { shippedPath } from '../embedded/shipped-patches.ts';
import { type Options, readOptions, UsageError, usage } from './options.ts';
import { playBeside, type Real } from './played/beside.ts';
import { remedyOf } from './remedy.ts';
import { castOf, importedBy, type Result, runScenario, urlOf } from './scenario.ts';
import { createTraffic, type Traffic } from './traffic.ts';
import { bar, liveView, megabytes, plainView, silent, table, type View } from './view.ts';

/** Exit status after Ctrl-C, as in a shell; the other exit statuses are those of sysexits.h. */
const statusOf = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
const endedBySignal = new RegExp(`ended by (${Object.keys(statusOf).join('|')})`);
const usageStatus = 64;
/** Longest time from the last byte of an Envoy to the notice of its end, on a busy machine. */
const endNoticeMs = 1_000;

async function main(args: string[]): Promise<void> {
  const options = readOptions(args);
  if (options.help) return void process.stdout.write(usage);
  if (!existsSync(shippedPath('build/filter.wasm'))) {
    throw new Error('build/filter.wasm is missing: run npm run build:filter first');
  }
  // Before the clock starts, because the first start downloads the binary.
  await ensureEnvoy();
  const { stdout } = process;
  const view = options.json ? silent : stdout.isTTY ? liveView(stdout) : plainView(stdout);
  const stopped = new AbortController();
  for (const [signal, status] of Object.entries(statusOf)) {
    process.once(signal, () => {
      process.exitCode = status;
      stopped.abort();
    });
  }
  try {
    await demo(options, view, stopped.signal);
  } catch (error) {
    // A process that is just being started is still in the process group of the demo, and may end
    // by Ctrl-C before the demo itself has heard of it.
    if (endedBySignal.test(messageOf(error)) && !stopped.signal.aborted)
      await Promise.race([once(stopped.signal, 'abort'), sleep(endNoticeMs)]);
    if (!stopped.signal.aborted) throw error;
  } finally {
    view.end();
  }
}

async function demo(options: Options, view: View, stopped: AbortSignal): Promise<void> {
  const cast = castOf(options.services);
  const answers = new Map<string, string>();
  let tellAnswers = false;
  view.say(`starting a mesh of ${options.services.length} services`);
  const started = performance.now();
  const aborted = new Promise<'stopped'>((resolve) => {
    stopped.addEventListener('abort', () => resolve('stopped'), { once: true });
  });
  const mesh = await startMesh({
    services: options.services,
    workloads: [
      { name: 'full', mode: 'observe' },
      { name: 'scoped', mode: 'enforce' },
    ],
    // Shorter than in production: a demo cannot wait three days.
    settings: { learningWindowSeconds: 2, ttlSeconds: 10, firstCall: 'gateway' },
    log: pino({ level: 'silent' }),
    onAnswer({ call }, { strategy }) {
      const [host = ''] = call?.authority.split(/[.:]/) ?? [];
      answers.set(host, strategy);
      if (tellAnswers) view.say(`first call to ${call?.authority}: ${strategy}`);
    },
  });
  try {
    view.say('up: the full and the scoped sidecar, the egress gateway, two backends');
    if (!options.json) {
      const port = await mesh.openPage(playBeside(() => realFigures(mesh)));
      view.print(`console  http://127.0.0.1:${port}/  (a played shop of a dozen workloads beside)`);
    }
    const sidecars = [mesh.sidecar('full'), mesh.sidecar('scoped')];
    const traffic = createTraffic(sidecars, cast.steady.map(urlOf));
    view.panel(() => panelOf(mesh, traffic));
    const answered = (host: string) => answers.get(host);
    const run = runScenario({ mesh, cast, say: view.say, answered, traffic }).catch(
      // A failure because an Envoy ended is reported as that end, which is detected a moment later.
      async (error: unknown) => {
        await Promise.race([mesh.broken, sleep(endNoticeMs)]);
        throw error;
      },
    );
    const outcome = await Promise.race([run, mesh.broken, aborted]);
    // Requests in flight fail when the mesh stops; their results are no longer needed.
    run.catch(() => undefined);
    if (outcome === 'stopped') return;
    const seconds = Math.round((performance.now() - started) / 100) / 10;
    const result = { ...outcome, seconds };
    if (options.json) process.stdout.write(`${JSON.stringify(result)}\n`);
    for (const line of finalTable(result)) view.print(line);
    if (options.once) return;
    for (const line of suggestedCommands(mesh, cast.hold)) view.print(line);
    await mesh.setFirstCall('scoped', 'gateway');
    tellAnswers = true;
    traffic.start();
    await Promise.race([aborted, mesh.broken]).finally(traffic.stop);
    view.say('stopping');
  } finally {
    view.end();
    await mesh.stop();
  }
}

/** Undefined until one of the two sidecars is narrowed. */
async function realFigures(mesh: Mesh): Promise<Real | undefined> {
  const hosts = importedBy(mesh).length;
  if (hosts === 0) return undefined;
  const [full, scoped] = await Promise.all(
    ['full', 'scoped'].map((name) => proxySummary(mesh.sidecar(name).proxy.envoy().admin)),
  );
  // The Sidecar is written before Envoy has removed the clusters.
  const isNarrowed = full && scoped && scoped.clusters < full.clusters / 2;
  return isNarrowed ? { full, scoped, hosts } : undefined;
}

async function panelOf(mesh: Mesh, traffic: Traffic): Promise<string[]> {
  const [full, scoped] = await Promise.all(
    ['full', 'scoped'].map((name) => proxySummary(mesh.sidecar(name).proxy.envoy().admin)),
  );
  if (!full || !scoped) return [];
  const row = (label: string, key: keyof ProxySummary, text: (value: number) => string) => {
    const most = Math.max(full[key], scoped[key]);
    const cell = (value: number) => `${text(value).padStart(9)} ${bar(value, most, 20).padEnd(21)}`;
    return `  ${label.padEnd(10)}${cell(full[key])}  ${cell(scoped[key])}`;
  };
  const sent = `${count(traffic.sent())} sent, ${count(traffic.failed())} failed`;
  return [
    '',
    `  ${''.padEnd(10)}${'full'.padStart(9)}${''.padEnd(24)}${'scoped'.padStart(9)}`,
    row('allocated', 'allocatedBytes', megabytes),
    row('physical', 'physicalBytes', megabytes),
    row('clusters', 'clusters', count),
    `  requests   ${sent}`,
    '',
  ];
}

function count(value: number): string {
  return value.toLocaleString('en-US');
}

function finalTable({ full, scoped, requests, seconds }: Result): string[] {
  const share = (a: number, b: number) => {
    const percent = (100 * b) / a;
    return `${percent.toFixed(percent < 10 ? 1 : 0)} %`;
  };
  const row = (label: string, key: keyof typeof full, text: (value: number) => string) => [
    label,
    text(full[key]),
    text(scoped[key]),
    share(full[key], scoped[key]),
  ];
  return [
    '',
    ...table([
      ['', 'full', 'scoped', ''],
      row('allocated', 'allocatedBytes', megabytes),
      row('physical', 'physicalBytes', megabytes),
      row('clusters', 'clusters', count),
      row('configuration', 'configBytes', megabytes),
    ]),
    `${count(requests.sent)} requests sent, ${count(requests.failed)} failed, in ${seconds} s`,
    '',
  ];
}

function suggestedCommands(mesh: Mesh, known: Service): string[] {
  const [full, scoped] = [mesh.sidecar('full'), mesh.sidecar('scoped')];
  const never = mesh.services.at(-1) ?? known;
  const url = ({ name, namespace, ports }: Service) => `http://${name}.${namespace}:${ports[0]}/`;
  const admin = ({ proxy }: { proxy: EnvoyProxy }) => `http://127.0.0.1:${proxy.envoy().adminPort}`;
  return [
    'The demo stays up; Ctrl-C ends it and leaves nothing behind. Admin pages of the Envoys:',
    `  full     ${admin(full)}`,
    `  scoped   ${admin(scoped)}`,
    `  gateway  ${admin({ proxy: mesh.gateway })}`,
    'Try, as the app behind the scoped sidecar:',
    `  curl --proxy 127.0.0.1:${scoped.appPort} ${url(never)}   # a first call; then a known one`,
    `  curl --proxy 127.0.0.1:${scoped.appPort} ${url(known)}   # known already`,
    `  curl -s ${admin(scoped)}/clusters | grep -c ::added_via_api`,
    '',
  ];
}

main(process.argv.slice(2)).then(
  () => process.exit(),
  (error: unknown) => {
    const message = messageOf(error);
    process.stderr.write(`${[`demo: ${message}`, remedyOf(message)].join('\n').trimEnd()}\n`);
    const isUsage = error instanceof UsageError || error instanceof ServicesFileError;
    process.exit(isUsage ? usageStatus : 1);
  },
);
