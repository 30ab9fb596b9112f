import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { playedNodes } from './played-nodes.ts';
import {
  accessibilityOf,
  expectNoSidewaysScroll,
  goTo,
  picture,
  playedHour,
  type Server,
  serve,
  useBrowser,
} from './rig.ts';

const browser = useBrowser();
let server: Server;
beforeAll(async () => {
  server = await serve({ ...playedHour().known, nodes: playedNodes() });
});
afterEach(() => browser.closePages());
afterAll(() => server.close());

/** Every view: its address, its title, and the text of a cell that only data can bring. */
const views = [
  ['overview', '#/overview', /^Overview$/, 'storefront'],
  ['workloads', '#/workloads', /^Workloads$/, 'storefront/checkout'],
  ['workload', '#/workloads/payments/payments', /payments\/payments/, 'api.bank.example'],
  ['topology', '#/topology', /all namespaces/, 'backoffice'],
  ['topology-namespace', '#/topology/storefront', /storefront/, 'sessions.storefront'],
  ['topology-workload', '#/topology/payments/payments', /payments/, 'storefront/checkout'],
  ['nodes', '#/nodes', /^Nodes$/, 'its CPU has AVX-512 IFMA'],
  ['advice', '#/advice', /^Advice$/, 'backoffice/audit'],
] as const;

const looks = [
  ['light', { colorScheme: 'light' }],
  ['dark', { colorScheme: 'dark' }],
  ['narrow', { colorScheme: 'light', viewport: { width: 360, height: 740 } }],
] as const;

test.each(looks)(
  'every view, %s: axe finds nothing, and the browser has no complaint',
  async (look, options) => {
    const { page, problems } = await browser.open(server.url, 'admin', options);
    for (const [name, hash, title, text] of views) {
      await goTo(page, hash, title);
      await page.getByRole('cell', { name: text }).first().waitFor();
      expect([name, await accessibilityOf(page)]).toEqual([name, []]);
      await expectNoSidewaysScroll(page);
      await picture(page, `${name}-${look}`);
    }
    expect(problems).toEqual([]);
  },
);

/** The accessible names of all drawings of a view. */
async function drawings(page: Page): Promise<string[]> {
  const found: string[] = [];
  for (const image of await page.getByRole('img').all())
    found.push((await image.getAttribute('aria-label')) ?? '');
  return found;
}

test('each chart has a name of its own, that of its heading', async () => {
  const { page } = await browser.open(server.url, 'admin');
  await goTo(page, '#/overview', /^Overview$/);
  const named: string[] = [...(await drawings(page))];
  await page.getByLabel('Charts of namespace').selectOption('payments');
  await page.getByRole('heading', { name: 'Memory of all sidecars in payments' }).waitFor();
  named.push(...(await drawings(page)));
  await goTo(page, '#/workloads/payments/payments', /payments/);
  named.push(...(await drawings(page)));
  expect(named).toEqual([
    'Memory of all sidecars, the last day',
    'Clusters, one sidecar of each workload, the last day',
    'Memory of all sidecars in payments, the last day',
    'Clusters, one sidecar of each workload in payments, the last day',
    'Memory of one sidecar, the last day',
    'Clusters of one sidecar, the last day',
  ]);
  for (const name of named.slice(-2))
    await page.getByRole('heading', { name, exact: true }).waitFor();
});

test('the overview has coverage by mode and by what stands in the way, and savings by namespace', async () => {
  const { page } = await browser.open(server.url, 'admin');
  await goTo(page, '#/overview', /^Overview$/);
  const rows = (name: string) =>
    page.getByRole('region', { name, exact: true }).getByRole('row').allInnerTexts();
  const of = async (name: string) => (await rows(name)).map((row) => row.split(/\s+/).join(' '));
  expect(await of('Modes')).toEqual(['Mode Workloads', 'enforce 12', 'observe 1']);
  expect(await of('Reasons')).toEqual(['Reason Workloads', 'Observing 1']);
  const [, ...saved] = await of('Namespaces');
  expect(saved).toEqual([
    expect.stringMatching(/^backoffice played 4 of 5 [\d,]+ → \d+ [\d.]+ MB$/),
    expect.stringMatching(/^payments played 3 of 3 [\d,]+ → \d+ [\d.]+ MB$/),
    expect.stringMatching(/^storefront played 5 of 5 [\d,]+ → \d+ [\d.]+ [MG]B$/),
  ]);
});

test('eager and outside hosts are told apart by signs, in the drawing and in the table', async () => {
  const { page } = await browser.open(server.url, 'admin');
  await goTo(page, '#/topology/storefront', /storefront/);
  await page.getByText('◆ eager: imported before its first call').waitFor();
  await page.getByRole('cell', { name: '◆ eager' }).first().waitFor();
  const boxes = await page.locator('svg.graph text:not(.small)').allTextContents();
  expect(boxes.filter((text) => text.startsWith('◆'))).toEqual([
    expect.stringContaining('sessions.storefront'),
  ]);
  await goTo(page, '#/topology/payments', /payments/);
  await page.getByRole('cell', { name: '↗ api.bank.example' }).waitFor();
});

test('what would happen to a call is asked in the view of a workload', async () => {
  const { page, problems } = await browser.open(server.url, 'admin');
  await goTo(page, '#/workloads/payments/payments', /payments/);
  await page.getByLabel('Host, host:port or URL').fill('<b>no host</b>');
  await page.getByRole('button', { name: 'Explain' }).click();
  await page.getByText('<b>no host</b>: Give a host').waitFor();
  // The view is drawn again, and keeps what was asked.
  await page.getByText('YAML of the WorkloadScope').click();
  await page.getByText('kind: WorkloadScope').waitFor();
  expect(await page.getByLabel('Host, host:port or URL').inputValue()).toBe('<b>no host</b>');
  expect(await accessibilityOf(page)).toEqual([]);
  expect(problems).toEqual([]);
});

test('a search in the topology finds hosts of all namespaces', async () => {
  const { page } = await browser.open(server.url, 'admin');
  await goTo(page, '#/topology', /all namespaces/);
  await page.getByLabel('Search hosts and workloads').fill('ledger');
  await page.getByRole('cell', { name: 'payments/fraud' }).waitFor();
  await page.getByRole('cell', { name: 'backoffice/audit' }).waitFor();
  expect(await page.getByRole('cell', { name: /sessions/ }).count()).toBe(0);
});

test('another view begins at its top, with the focus at its content', async () => {
  const { page } = await browser.open(server.url, 'admin', {
    viewport: { width: 360, height: 740 },
  });
  await page.getByText('History begins').scrollIntoViewIfNeeded();
  await goTo(page, '#/topology', /all namespaces/);
  await page.waitForFunction('document.activeElement.id === "main" && scrollY === 0');
});

test('the token leaves the address at once, and the tab keeps it', async () => {
  const { page } = await browser.open(server.url, 'admin');
  await page.getByRole('heading', { level: 2, name: 'Overview' }).waitFor();
  expect(page.url()).not.toContain('admin');
  await page.reload();
  await page.getByRole('heading', { level: 2, name: 'Overview' }).waitFor();
  // Also where an open page is given another one.
  await page.evaluate('location.hash = "#token=admin"');
  await page.waitForFunction('location.hash === ""');
});

test.each(['#/%E0%A4%A', '#/toString', '#/nothing/%'])(
  'an address that means nothing shows the overview: %s',
  async (hash) => {
    const { page, problems } = await browser.open(server.url, 'admin');
    await goTo(page, '#/advice', /^Advice$/);
    await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
    await page.getByRole('heading', { level: 2, name: 'Overview' }).waitFor();
    expect(problems).toEqual([]);
  },
);

test('times are of the browser’s zone, which the page says; a wrong clock too', async () => {
  const { page } = await browser.open(server.url, 'admin', { timezoneId: 'Asia/Kolkata' });
  await page.getByText('Times are in Asia/Calcutta (UTC+05:30).').waitFor();
  await page.clock.setFixedTime(Date.now() + 3_900_000);
  await goTo(page, '#/advice', /^Advice$/);
  await page.getByText('the clock of this browser is 65 min ahead of the controller’s').waitFor();
});

test('every link of the page is reached by the keyboard', async () => {
  const { page } = await browser.open(server.url, 'admin');
  await page.getByRole('heading', { level: 2, name: 'Overview' }).waitFor();
  const reached = new Set<string>();
  for (let n = 0; n < 60; n++) {
    await page.keyboard.press('Tab');
    reached.add(await page.evaluate<string>('document.activeElement.textContent'));
  }
  for (const name of ['Skip to content', 'Overview', 'Workloads', 'Topology', 'storefront'])
    expect([...reached]).toContain(name);
});
