import { existsSync } from 'node:fs';
import { pino } from 'pino';
import { messageOf } from '../companion/errors.ts';
import { type Mesh, namespace, startMesh } from '../embedded/mesh.ts';
import { ServicesFileError } from '../embedded/services.ts';
import { shippedPath } from '../embedded/shipped-patches.ts';
import { type Memory, megabytes, memoryOf } from './figures.ts';
import { type Options, readOptions, UsageError, usage } from './options.ts';
import { castOf, type Result, runScenario } from './scenario.ts';
import type { Traffic } from './traffic.ts';
import { bar, liveView, plainView, silent, table, type View } from './view.ts';

/** As after Ctrl-C in a shell; then what is asked for by the exit statuses of sysexits.h. */
const statusOf = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
const usageStatus = 64;

async function main(args: string[]): Promise<void> {
  const options = readOptions(args);
  if (options.help) return void process.stdout.write(usage);
  if (!existsSync(shippedPath('build/filter.wasm'))) {
    throw new Error('build/filter.wasm is missing: run npm run build:filter first');
  }
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
  } finally {
    view.end();
  }
}

async function demo(options: Options, view: View, stopped: AbortSignal): Promise<void> {
  const cast = castOf(options.services);
  const answers = new Map<string, string>();
  view.say(`starting a mesh of ${options.services.length} services`);
  const started = performance.now();
  const starting = startMesh({
    services: options.services,
    workloads: [
      { name: 'full', mode: 'observe' },
      { name: 'scoped', mode: 'enforce' },
    ],
    // Shorter than anybody would have them: nobody waits three days for a demo.
    settings: { learningWindowSeconds: 2, ttlSeconds: 10, firstCall: 'gateway' },
    log: pino({ level: 'silent' }),
    onAnswer({ call }, { strategy }) {
      const [host = ''] = call?.authority.split(/[.:]/) ?? [];
      answers.set(host, strategy);
    },
  });
  const aborted = new Promise<'stopped'>((resolve) => {
    stopped.addEventListener('abort', () => resolve('stopped'), { once: true });
  });
  const mesh = await starting;
  try {
    view.say(`up: the sidecars full and scoped, the egress gateway, two backends`);
    let traffic: Traffic | undefined;
    view.panel(() => panelOf(mesh, traffic));
    const run = runScenario({
      mesh,
      cast,
      say: view.say,
      answered: (host) => answers.get(host),
      onTraffic: (each) => {
        traffic = each;
      },
    });
    const outcome = await Promise.race([run, mesh.broken, aborted]);
    // What still runs fails when the mesh goes; nobody is interested any more.
    run.catch(() => undefined);
    if (outcome === 'stopped') return;
    const seconds = Math.round((performance.now() - started) / 100) / 10;
    if (options.json) {
      process.stdout.write(`${JSON.stringify({ ...outcome, seconds })}\n`);
      return;
    }
    for (const line of finalTable({ ...outcome, seconds })) view.say(line);
    if (options.once) return;
    for (const line of whatToTry(mesh, cast.hold.name)) view.say(line);
    await Promise.race([aborted, mesh.broken]);
    view.say('stopping');
  } finally {
    view.end();
    await mesh.stop();
  }
}

async function panelOf(mesh: Mesh, traffic: Traffic | undefined): Promise<string[]> {
  const [full, scoped] = await Promise.all(
    ['full', 'scoped'].map((name) => memoryOf(mesh.sidecar(name).proxy.envoy())),
  );
  if (!full || !scoped) return [];
  const row = (label: string, key: keyof Memory, text: (value: number) => string) => {
    const most = Math.max(full[key], scoped[key]);
    const cell = (value: number) => `${text(value).padStart(9)} ${bar(value, most, 20).padEnd(21)}`;
    return `  ${label.padEnd(10)}${cell(full[key])}  ${cell(scoped[key])}`;
  };
  const sent = `${count(traffic?.sent() ?? 0)} sent, ${count(traffic?.failed() ?? 0)} failed`;
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
  const share = (a: number, b: number) => `${((100 * b) / a).toFixed(0)} %`;
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

function whatToTry(mesh: Mesh, known: string): string[] {
  const [full, scoped] = [mesh.sidecar('full'), mesh.sidecar('scoped')];
  const never = mesh.services.at(-1);
  const url = never ? `http://${never.name}.${never.namespace}:${never.ports[0]}/` : '';
  const port = mesh.services.find(({ name }) => name === known)?.ports[0];
  const admin = (each: typeof full) => `http://127.0.0.1:${each.proxy.envoy().adminPort}`;
  return [
    'It stays up; Ctrl-C ends it and leaves nothing. Admin pages of the Envoys:',
    `  full     ${admin(full)}`,
    `  scoped   ${admin(scoped)}`,
    `  gateway  http://127.0.0.1:${mesh.gateway.envoy().adminPort}`,
    'Try, as the app behind the scoped sidecar:',
    `  curl --proxy 127.0.0.1:${scoped.appPort} ${url}    # a first call; again: a known one`,
    `  curl --proxy 127.0.0.1:${scoped.appPort} http://${known}.${namespace}:${port}/`,
    `  curl -s ${admin(scoped)}/clusters | grep -c ::added_via_api`,
    '',
  ];
}

main(process.argv.slice(2)).then(
  () => process.exit(),
  (error: unknown) => {
    process.stderr.write(`demo: ${messageOf(error)}\n`);
    const isUsage = error instanceof UsageError || error instanceof ServicesFileError;
    process.exit(isUsage ? usageStatus : 1);
  },
);
