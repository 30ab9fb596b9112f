import { afterAll, beforeAll, expect, test } from 'vitest';
import { createHistory } from '../../companion/core/history/history.ts';
import { playAtScale } from '../../demo/played/scale.ts';
import { accessibilityOf, goTo, picture, type Server, serve, useBrowser } from './rig.ts';

const browser = useBrowser();
let server: Server;
beforeAll(async () => {
  const now = Date.now();
  const history = createHistory(now - 600_000);
  const size = { workloads: 1_000, callsOfEach: 20, namespaces: 40 };
  const scopes = playAtScale(history, size, [now - 300_000, now - 60_000, now]);
  server = await serve({ scopes, history, now: () => Date.now() });
});
afterAll(() => server.close());

/** A page with more elements makes the browser pause at each turn of replay. */
const elementsMax = 6_000;
/** More bytes than that every five seconds would be felt behind a port-forward. */
const bytesMax = 1_000_000;

test('1,000 workloads and 20,000 pairs: every view is bounded in elements and bytes', async () => {
  const { page, problems } = await browser.open(server.url, 'admin');
  const sizes: number[] = [];
  page.on('response', async (response) => {
    if (response.url().includes('/api/v1/') && !response.url().endsWith('/events'))
      sizes.push((await response.body()).length);
  });
  for (const [hash, title] of [
    ['#/overview', /^Overview/],
    ['#/workloads', /^Workloads/],
    ['#/workloads/team-3/service-3', /team-3\/service-3/],
    ['#/topology', /all namespaces/],
    ['#/topology/team-3', /team-3/],
    ['#/topology/team-3/service-3', /service-3/],
  ] as const) {
    await goTo(page, hash, title);
    await page.getByRole('cell', { name: /team-/ }).first().waitFor();
    const elements = await page.evaluate<number>('document.querySelectorAll("*").length');
    expect([hash, elements < elementsMax]).toEqual([hash, true]);
    await picture(page, `scale${hash.replaceAll(/[#/]+/g, '-')}`);
  }
  expect(Math.max(...sizes)).toBeLessThan(bytesMax);
  expect(await accessibilityOf(page)).toEqual([]);
  expect(problems).toEqual([]);
});

test('a search among 1,000 workloads keeps the focus and shows what was typed', async () => {
  const { page } = await browser.open(server.url, 'admin');
  await goTo(page, '#/workloads', /^Workloads/);
  await page.getByLabel('Search workloads').pressSequentially('service-777');
  await page.getByText('1 found').waitFor();
  expect(await page.getByLabel('Search workloads').inputValue()).toBe('service-777');
  expect(await page.evaluate('document.activeElement.id')).toBe('search');
});

test('every one of 1,000 workloads can be reached by scrolling, in their order', async () => {
  const { page } = await browser.open(server.url, 'admin');
  await goTo(page, '#/workloads', /^Workloads/);
  await page.getByRole('button', { name: 'Workload', exact: true }).click();
  for (let shown = 200; shown < 1_000; shown += 200) {
    await page.getByText(`${shown} of 1000 are shown.`).waitFor();
    await page.getByRole('button', { name: 'Show more' }).click();
  }
  await page.getByRole('link', { name: /service-0$/ }).waitFor();
  const names = await page.getByRole('link', { name: /service-\d+$/ }).allInnerTexts();
  const sorted = names.map((name) => name.split('/')[1] ?? '').sort();
  expect(new Set(names).size).toBe(1_000);
  expect(names.map((name) => name.split('/')[1])).toEqual(sorted.toReversed());
});
