import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import axe from 'axe-core';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { Registry } from 'prom-client';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { createAccessCheck } from '../../companion/controller/console/access.ts';
import type { Known } from '../../companion/controller/console/known.ts';
import { startConsole } from '../../companion/controller/console/server.ts';
import { createControllerMetrics } from '../../companion/controller/metrics.ts';
import { createHistory } from '../../companion/core/history/history.ts';
import { chromiumPath } from '../../demo/chromium.ts';
import { playedNamespaces } from '../../demo/played/cast.ts';
import { startPlay } from '../../demo/played/play.ts';

/** The real server of the page with played history, and Debian's Chromium that looks at it. */

const pagePath = join(import.meta.dirname, '../../build/companion/page');
/** Screenshots for a person to look at; without this folder none is taken. */
const picturesPath = process.env.LAZYSCOPE_PICTURES;
const hour = 3_600_000;
/** A bound for what hangs, and no measure of the machine. */
const patienceMs = 120_000;
const full = { memoryBytes: 118e6, clusters: 2_059 };
const scoped = { memoryBytes: 10.3e6, clusters: 29, hosts: 4 };

/** Users by token, and the namespaces whose scopes they may list. */
const users: Record<string, string[] | 'all'> = {
  ...{ admin: 'all', 'tenant-token': ['payments'], nobody: [] },
};

export type Server = { url: string; port: number; close(): Promise<void> };

/** Serves what is known; at port 0 the system chooses one. */
export async function serve(known: Known, port = 0): Promise<Server> {
  const metrics = createControllerMetrics(new Registry());
  const kube = {
    tokenReview: async (token: string) => ({ authenticated: token in users, username: token }),
    async mayList({ username = '' }: { username?: string | undefined }, _: string, where = '') {
      const allowed = users[username] ?? [];
      return allowed === 'all' || allowed.includes(where);
    },
  };
  const namespaces = () => [...new Set([...known.scopes.values()].map((each) => each.namespace))];
  const server = await startConsole({
    ...{ known, metrics, pagePath, port, host: '127.0.0.1' },
    access: createAccessCheck({ kube, metrics, namespaces, now: known.now }),
  });
  const address = server.server.address();
  const opened = typeof address === 'object' ? (address?.port ?? 0) : 0;
  return { url: `http://127.0.0.1:${opened}/`, port: opened, close: () => server.close() };
}

/** The played shop with a recorded hour that ends now. */
export function playedHour() {
  const beginsAt = Date.now() - hour;
  const history = createHistory(beginsAt);
  const play = startPlay({ history, beginsAt, full, scoped });
  const now = () => {
    const at = Date.now();
    // The shop goes on while somebody looks.
    play.turn(at);
    return at;
  };
  now();
  const known: Known = { scopes: play.scopes, history, now, played: playedNamespaces };
  return { known, history, beginsAt };
}

export type Opened = {
  page: Page;
  /** Errors and warnings of the browser's console, and failed scripts, so far. */
  problems: string[];
};

/** One browser for a file of tests; every page has a profile of its own. */
export function useBrowser() {
  let browser: Browser | undefined;
  const open: Opened[] = [];
  beforeAll(async () => {
    if (!existsSync(join(pagePath, 'console.js'))) {
      throw new Error('the page is not built: run npm run build:page');
    }
    const executablePath = chromiumPath();
    if (!executablePath) throw new Error('no chromium: apt-get install -y chromium');
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  });
  afterAll(() => browser?.close());
  return {
    async open(url: string, token: string, options: BrowserContextOptions = {}): Promise<Opened> {
      const size = { viewport: { width: 1280, height: 900 } };
      const context = await (browser as Browser).newContext({ ...size, ...options });
      context.setDefaultTimeout(patienceMs);
      const page = await context.newPage();
      const problems: string[] = [];
      page.on('console', (told) => {
        if (['error', 'warning'].includes(told.type())) problems.push(told.text());
      });
      page.on('pageerror', (error) => problems.push(String(error)));
      page.on('request', (request) => {
        if (!request.url().startsWith(new URL(url).origin)) problems.push(request.url());
      });
      await page.goto(`${url}${token && `#token=${token}`}`);
      const opened = { page, problems };
      open.push(opened);
      return opened;
    },
    async closePages(): Promise<void> {
      for (const { page } of open.splice(0)) await page.context().close();
    },
  };
}

/** A browser for a file of tests of which each has servers of its own; both end with the test. */
export function useServers() {
  const browser = useBrowser();
  const running: Server[] = [];
  afterEach(async () => {
    await browser.closePages();
    for (const server of running.splice(0)) await server.close();
  });
  return {
    open: browser.open,
    async serve(known: Known, port?: number): Promise<Server> {
      const server = await serve(known, port);
      running.push(server);
      return server;
    },
  };
}

/** Goes to a view and waits until it is drawn. */
export async function goTo(page: Page, hash: string, title: RegExp): Promise<void> {
  await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
  await page.getByRole('heading', { level: 2, name: title }).waitFor();
}

/** What axe finds wrong, each with the elements it means. */
export async function accessibilityOf(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate<axe.AxeResults>('axe.run()');
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}

/** Nothing is wider than the window or than its frame, so nobody has to scroll sideways. */
export async function expectNoSidewaysScroll(page: Page): Promise<void> {
  const wide = await page.evaluate<string[]>(
    `[document.documentElement, ...document.querySelectorAll('.scroll')]
      .filter((each) => each.scrollWidth > each.clientWidth)
      .map((each) => each.ariaLabel ?? 'the page')`,
  );
  expect(wide).toEqual([]);
}

export async function picture(page: Page, name: string): Promise<void> {
  if (!picturesPath) return;
  mkdirSync(picturesPath, { recursive: true });
  await page.screenshot({ path: join(picturesPath, `${name}.png`), fullPage: true });
}
