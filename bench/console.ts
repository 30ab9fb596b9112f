import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium, type Page } from 'playwright-core';
import { repoDir } from '../box/paths.ts';
import { chromiumPath, missingForConsole } from '../demo/chromium.ts';
import type { BenchOptions } from './bench.ts';
import { cpuSeconds, residentBytes } from './process.ts';
import { type Row, row } from './result.ts';
import { median } from './statistics.ts';

const [workloads, pairs] = [1_000, 20_000];
const viewers = 10;
const subject = 'page, 1,000 workloads, 20,000 pairs';
const server = 'server of the page, 20,000 pairs in every bin of 14 days';
/** Of the container of a controller, which has its state, too (manifests/base/controller.yaml). */
const memoryLimit = 600 * 1.048576;

/** Each view with a text that only its data can bring. */
const views = [
  ['workloads', '#/workloads', 'service-'],
  ['one workload', '#/workloads/team-3/service-3', 'Who calls it'],
  ['topology of all namespaces', '#/topology', 'team-3'],
  ['topology of one namespace', '#/topology/team-3', 'service-3'],
  ['topology of one workload', '#/topology/team-3/service-3', 'Details'],
] as const;

/**
 * The page in Chromium: the time to the first paint and of each step; and its server, alone in a
 * process: memory and CPU without and with ten viewers.
 */
export async function consolePage({ quick, say }: BenchOptions): Promise<Row[]> {
  const child = spawn(
    process.execPath,
    [
      // As in the container; Node.js gives the old generation half of its memory.
      ...['--max-old-space-size=300', '--optimize-for-size', '--max-semi-space-size=4'],
      ...['--heap-growing-percent=20', '--import', 'tsx'],
      join(repoDir, 'bench/console-server.ts'),
      join(repoDir, 'build/companion/page'),
      ...[String(workloads), String(pairs)],
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  try {
    const port = await portOf(child);
    const pid = child.pid ?? 0;
    const cost = await costOfViewers({ pid, port, seconds: quick ? 10 : 60, say });
    return [...(await timesInBrowser({ port, turns: quick ? 2 : 10, say })), ...cost];
  } finally {
    child.kill();
    await once(child, 'exit');
  }
}

async function portOf(child: ChildProcess): Promise<number> {
  if (!child.stdout) throw new Error('the server has no output');
  for await (const line of createInterface({ input: child.stdout })) {
    const port = Number(/^port (\d+)$/.exec(line)?.[1]);
    if (port > 0) return port;
  }
  throw new Error('the server of the page ended before it listened');
}

type Browsing = { port: number; turns: number; say: BenchOptions['say'] };

async function timesInBrowser({ port, turns, say }: Browsing): Promise<Row[]> {
  const executablePath = chromiumPath();
  if (!executablePath) throw new Error(missingForConsole().join());
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  try {
    const paints: number[] = [];
    const drawn: number[] = [];
    const steps = new Map<string, number[]>();
    for (let turn = 0; turn < turns; turn++) {
      say(`turn ${turn + 1} of ${turns} in the browser`);
      const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
      const page = await context.newPage();
      await page.goto(`http://127.0.0.1:${port}/`);
      await page.locator('main h2').waitFor();
      // Of the page's own clock, which starts with the navigation.
      drawn.push(await page.evaluate<number>('performance.now()'));
      paints.push(
        await page.evaluate<number>(
          'performance.getEntriesByName("first-contentful-paint")[0].startTime',
        ),
      );
      for (const [name, hash, text] of views) {
        const ms = await msUntilDrawn(page, hash, text);
        steps.set(name, [...(steps.get(name) ?? []), ms]);
        // As fast as a person may click, and within the limit of requests.
        await sleep(500);
      }
      await context.close();
    }
    return [
      row(subject, 'first contentful paint, median', median(paints), 'ms', { atMost: 1_000 }),
      row(subject, 'overview drawn, median', median(drawn), 'ms', { atMost: 1_000 }),
      ...[...steps].map(([name, times]) =>
        row(subject, `${name} drawn, median`, median(times), 'ms', { atMost: 500 }),
      ),
    ];
  } finally {
    await browser.close();
  }
}

/** From the change of the address until a frame with the data was painted. */
function msUntilDrawn(page: Page, hash: string, text: string): Promise<number> {
  return page.evaluate<number>(`new Promise((resolve) => {
    const before = document.querySelector('main h2');
    const started = performance.now();
    const look = () => {
      const main = document.querySelector('main');
      const isNew = main.querySelector('h2') !== before;
      if (isNew && main.textContent.includes(${JSON.stringify(text)}))
        requestAnimationFrame(() => resolve(performance.now() - started));
      else requestAnimationFrame(look);
    };
    location.hash = ${JSON.stringify(hash)};
    look();
  })`);
}

type Cost = { pid: number; port: number; seconds: number; say: BenchOptions['say'] };

async function costOfViewers({ pid, port, seconds, say }: Cost): Promise<Row[]> {
  // Until the figures of the start are over.
  await sleep(5_000);
  const idle = await costOver(pid, seconds);
  say(`${viewers} viewers for ${seconds} s`);
  const open = Array.from({ length: viewers }, (_, n) => view(port, n));
  const busy = await costOver(pid, seconds);
  for (const stop of open) stop();
  return [
    row(server, 'resident memory, no viewer', idle.bytes / 1e6, 'MB'),
    row(server, `resident memory, ${viewers} viewers`, busy.bytes / 1e6, 'MB', {
      atMost: Math.round(memoryLimit / 2),
    }),
    row(server, 'CPU of one core, no viewer', 100 * idle.share, '%', { atMost: 1 }),
    row(server, `CPU of one core, ${viewers} viewers`, 100 * busy.share, '%', { atMost: 20 }),
  ];
}

async function costOver(pid: number, seconds: number) {
  const before = await cpuSeconds(pid);
  await sleep(seconds * 1_000);
  const share = ((await cpuSeconds(pid)) - before) / seconds;
  return { share, bytes: (await residentBytes(pid)).now };
}

/** Asks as an open page does, from an address of its own; every third looks at the topology. */
function view(port: number, viewer: number): () => void {
  const localAddress = `127.0.0.${viewer + 2}`;
  const paths =
    viewer % 3 === 0 ? ['topology?minutes=5&by=namespace', 'changes'] : ['overview', 'changes'];
  const ask = (path: string, onAnswer: (answer: IncomingMessage) => void) =>
    get({ host: '127.0.0.1', port, path: `/api/v1/${path}`, localAddress }, onAnswer).on(
      'error',
      // The server was stopped while a request was under way.
      () => undefined,
    );
  const stream = ask('events', (answer) => answer.resume());
  const timer = setInterval(() => {
    for (const path of paths) ask(path, (answer) => answer.resume());
  }, 5_000);
  return () => {
    clearInterval(timer);
    stream.destroy();
  };
}
