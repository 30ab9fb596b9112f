import { expect, test } from 'vitest';
import { goTo, picture, playedHour, useServers } from './rig.ts';

const { open, serve } = useServers();

test('replay plays a recorded hour, and jumps from change to change', async () => {
  const { known, beginsAt } = playedHour();
  const server = await serve(known);
  const { page, problems } = await open(server.url, 'admin');
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
  const server = await serve(playedHour().known);
  const { page } = await open(server.url, 'admin');
  await goTo(page, '#/topology/storefront', /storefront/);
  await page.getByLabel('Compare with').selectOption({ index: 1 });
  await page.getByRole('heading', { name: /^What changed between/ }).waitFor();
  await page
    .getByRole('cell', { name: /▲ more|▼ less/ })
    .first()
    .waitFor();
});

test('a moment that was marked is compared with any other, the earlier one first', async () => {
  const { known, beginsAt } = playedHour();
  const server = await serve(known);
  const { page } = await open(server.url, 'admin');
  await goTo(page, '#/topology/storefront', /storefront/);
  const slider = page.locator('#when');
  for (const [marked, shown] of [
    [600_000, 1_800_000],
    [1_800_000, 600_000],
  ] as const) {
    await slider.fill(String(beginsAt + marked));
    await page.getByText('the past').waitFor();
    await expect.poll(async () => Number(await slider.inputValue())).toBe(beginsAt + marked);
    await page.getByRole('button', { name: 'Mark this moment' }).click();
    await slider.fill(String(beginsAt + shown));
    const clock = (ms: number) =>
      new Date(beginsAt + ms).toLocaleTimeString('en-US', { hourCycle: 'h23' });
    const title = `What changed between ${clock(600_000)} and ${clock(1_800_000)}`;
    await page.getByRole('heading', { name: title }).waitFor();
  }
});

test('a jump goes to the next change, however many came later, and only of what is shown', async () => {
  const { known, history, beginsAt } = playedHour();
  const told = { kind: 'first-call' as const, workload: 'w', host: 'a/b', detail: 'hold' };
  for (let n = 0; n < 2_000; n++)
    history.changes.add({ ...told, at: known.now(), namespace: 'elsewhere' });
  const server = await serve(known);
  const { page } = await open(server.url, 'admin');
  await goTo(page, '#/topology/storefront', /storefront/);
  const slider = page.locator('#when');
  await slider.fill(String(beginsAt));
  await page.getByText('the past').waitFor();
  await page.getByRole('button', { name: 'Next change' }).click();
  // The scope of checkout comes into force after 20 s, and nothing else changes in storefront.
  const shownAt = async () => Number(await slider.inputValue());
  await expect.poll(shownAt).toBeGreaterThanOrEqual(beginsAt + 20_000);
  expect(await shownAt()).toBeLessThan(beginsAt + 30_000);
  await page.getByRole('listitem').filter({ hasText: 'has a scope' }).waitFor();
  await page.getByRole('button', { name: 'Next change' }).click();
  await page.locator('#age', { hasText: 'live' }).waitFor();
});

test('only the topology shows the past; other views are live, and go on after a choice', async () => {
  const { known, beginsAt } = playedHour();
  const server = await serve(known);
  const { page } = await open(server.url, 'admin');
  await goTo(page, '#/topology', /all namespaces/);
  await page.locator('#when').fill(String(beginsAt + 60_000));
  await page.getByText('the past').waitFor();
  await goTo(page, '#/overview', /^Overview$/);
  await page.locator('#age', { hasText: 'live' }).waitFor();
  expect(await page.title()).toBe('Overview – Lazyscope');
  // The list keeps the focus after the choice, which must not stop the view.
  await page.getByLabel('Charts over').selectOption('14');
  await page.getByLabel('Charts over').focus();
  let asked = 0;
  page.on('request', (request) => {
    if (request.url().includes('/api/v1/overview')) asked += 1;
  });
  await expect.poll(() => asked, { timeout: 60_000 }).toBeGreaterThan(1);
});

test('a text that is selected stays selected; a table that was scrolled stays where it was', async () => {
  const server = await serve(playedHour().known);
  const { page } = await open(server.url, 'admin');
  await goTo(page, '#/workloads/payments/payments', /payments/);
  await page.getByText('YAML of the WorkloadScope').click();
  const text = page.getByText('kind: WorkloadScope');
  const scrolled = () => page.evaluate<number>('document.querySelector("pre").scrollTop');
  await page.evaluate('document.querySelector("pre").scrollTop = 40');
  expect(await scrolled()).toBe(40);
  await page.getByRole('button', { name: 'Explain' }).focus();
  await page.getByLabel('Charts over').selectOption('14');
  await page
    .getByRole('heading', { name: /14 days/ })
    .first()
    .waitFor();
  expect(await scrolled()).toBe(40);
  await text.click({ clickCount: 3 });
  const selected = () => page.evaluate<string>('getSelection().toString()');
  const before = await selected();
  expect(before).not.toBe('');
  // Meanwhile the view is not drawn again, which the page says.
  await page.locator('#age', { hasText: 'old: what is shown' }).waitFor();
  expect(await selected()).toBe(before);
  await page.evaluate('getSelection().empty()');
  await page.locator('#age', { hasText: 'live' }).waitFor();
});

test('a controller that goes and comes back: the page says how old it is, then goes on', async () => {
  const { known, history } = playedHour();
  const server = await serve(known);
  const { port } = server;
  const { page } = await open(server.url, 'admin');
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
  await serve(known, port);
  await page.locator('#age', { hasText: 'live' }).waitFor();
  await page.getByText('while-away').first().waitFor();
  // Events go on after the last one that arrived before.
  await expect.poll(() => Number(resumed.at(-1))).toBeGreaterThanOrEqual(heard.id);
});
