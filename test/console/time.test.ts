import { afterEach, expect, test } from 'vitest';
import { goTo, picture, playedHour, type Server, serve, useBrowser } from './rig.ts';

const browser = useBrowser();
let server: Server | undefined;
afterEach(async () => {
  await browser.closePages();
  await server?.close();
});

test('replay plays a recorded hour, and jumps from change to change', async () => {
  const { known, beginsAt } = playedHour();
  server = await serve(known);
  const { page, problems } = await browser.open(server.url, 'admin');
  await goTo(page, '#/topology/backoffice', /backoffice/);
  const slider = page.locator('#when');
  const shownAt = async () => Number(await slider.inputValue());
  // The beginning, and from there to the first change: a scope comes into force after 20 s.
  await slider.fill(String(beginsAt));
  await page.getByText('the past').waitFor();
  await page.getByRole('button', { name: 'Next change' }).click();
  await expect.poll(shownAt).toBeGreaterThanOrEqual(beginsAt + 20_000);
  expect(await shownAt()).toBeLessThan(beginsAt + 40_000);
  await page.getByLabel('Speed').selectOption({ index: 2 });
  await page.getByRole('button', { name: 'Replay', exact: true }).click();
  await picture(page, 'replay');
  const before = await shownAt();
  await expect.poll(shownAt).toBeGreaterThan(before + 600_000);
  await page.getByRole('button', { name: 'Pause' }).click();
  await page.getByRole('button', { name: 'Previous change' }).click();
  await page.getByRole('button', { name: 'Live' }).click();
  await page.locator('#age', { hasText: 'live' }).waitFor();
  expect(problems).toEqual([]);
});

test('two moments are compared', async () => {
  server = await serve(playedHour().known);
  const { page } = await browser.open(server.url, 'admin');
  await goTo(page, '#/topology/storefront', /storefront/);
  await page.getByLabel('Compare with').selectOption({ index: 1 });
  await page.getByRole('heading', { name: 'What changed since then' }).waitFor();
  await page
    .getByRole('cell', { name: /▲ more|▼ less/ })
    .first()
    .waitFor();
});

test('a controller that goes and comes back: the page says how old it is, then goes on', async () => {
  const { known, history } = playedHour();
  server = await serve(known);
  const { port } = server;
  const { page } = await browser.open(server.url, 'admin');
  await page.locator('#age', { hasText: 'live' }).waitFor();
  const told = {
    ...{ kind: 'first-call' as const, namespace: 'storefront', workload: 'web' },
    detail: 'gateway',
  };
  const heard = history.changes.add({ ...told, at: known.now(), host: 'storefront/heard' });
  await page.getByText('heard').first().waitFor();
  const resumed: (string | undefined)[] = [];
  page.on('request', (request) => {
    if (request.url().endsWith('/events')) resumed.push(request.headers()['last-event-id']);
  });
  await server.close();
  await page.locator('#age', { hasText: /^old/ }).waitFor();
  await picture(page, 'old');
  // What happens meanwhile is shown after the return.
  const host = 'storefront/while-away.storefront.svc.cluster.local';
  history.changes.add({ ...told, at: known.now(), host });
  server = await serve(known, port);
  await page.locator('#age', { hasText: 'live' }).waitFor();
  await page.getByText('while-away').first().waitFor();
  // Events go on after the last one that arrived before.
  await expect.poll(() => Number(resumed.at(-1))).toBeGreaterThanOrEqual(heard.id);
});
