import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
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
  server = await serve(playedHour().known);
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
