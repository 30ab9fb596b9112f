import { expect, test } from 'vitest';
import { playedNodes } from './played-nodes.ts';
import { goTo, playedHour, useServers } from './rig.ts';

const { open, serve } = useServers();

test('each node says what it can and does, and why not', async () => {
  const server = await serve({ ...playedHour().known, nodes: playedNodes() });
  const { page } = await open(server.url, 'admin');
  await page.getByRole('link', { name: 'Nodes' }).click();
  await page.getByRole('cell', { name: 'node-4' }).waitFor();
  const rows = await page.getByRole('row').allInnerTexts();
  const [, ...texts] = rows.map((row) => row.replace(/\s+/g, ' ').trim());
  expect(texts).toEqual([
    'node-1 ✓ heard 6.18 ✓ CryptoMb: its CPU has AVX-512 IFMA ✓ on: active (2 pods) btf, cgroups v2, cpu-aes, cpu-avx512ifma, cpu-vaes, cryptomb, hugepages-2Mi 64',
    'node-2 ✓ heard 6.18 ✓ QAT: it has a QAT device; a pod must request qat.intel.com/* ○ off: refused: self-test failed: corrupt btf, cgroups v2, cpu-aes, cpu-avx512ifma, cpu-vaes, hugepages-2Mi 64, qat',
    expect.stringMatching(/^node-3 ✓ heard 5\.15 ○ no: .* ○ off: Linux 5\.15 is older than 6\.3/),
    expect.stringMatching(/^node-4 ○ not heard – ○ not known: its node companion has not reported/),
  ]);
  const tiles = await page.getByRole('term').allInnerTexts();
  expect(tiles).toEqual(['Nodes', 'Can offload TLS', 'Bypass is on']);
  const values = await page.getByRole('definition').allInnerTexts();
  expect(values).toEqual(['4', '2 of 4', '1 of 4']);
});

test('a search finds nodes by their features and reasons', async () => {
  const server = await serve({ ...playedHour().known, nodes: playedNodes() });
  const { page } = await open(server.url, 'admin');
  await goTo(page, '#/nodes', /^Nodes$/);
  await page.getByLabel('Search nodes, reasons and features').fill('Self-Test');
  await page.getByText('1 found').waitFor();
  expect(await page.getByRole('cell', { name: /^node-\d$/ }).allInnerTexts()).toEqual(['node-2']);
});

test('of many nodes 200 are drawn, and more on demand', async () => {
  const many = Array.from({ length: 300 }, (_, n) => [`other-${n}`, {}] as const);
  const nodes = playedNodes(Object.fromEntries(many));
  const server = await serve({ ...playedHour().known, nodes });
  const { page } = await open(server.url, 'admin');
  await goTo(page, '#/nodes', /^Nodes$/);
  await page.getByText('200 of 304 are shown.').waitFor();
  await page.getByRole('button', { name: 'Show more' }).click();
  await page.getByRole('cell', { name: 'other-99', exact: true }).waitFor();
  expect(await page.getByRole('row').count()).toBe(305);
});

test('a tenant is told why it sees no node, and keeps its token', async () => {
  const server = await serve({ ...playedHour().known, nodes: playedNodes() });
  const { page } = await open(server.url, 'tenant-token');
  await goTo(page, '#/nodes', /^Nodes$/);
  await page.getByRole('alert').filter({ hasText: 'belong to no namespace' }).waitFor();
  await goTo(page, '#/overview', /^Overview$/);
});

test('hostile names and reports of nodes stay text', async () => {
  const hostile = '<img src=x onerror="globalThis.pwned=1">';
  const marks = {
    labels: { 'lazyscope.io/bypass': 'enabled' },
    annotations: { 'lazyscope.io/bypass-state': hostile },
  };
  const nodes = playedNodes({ [hostile]: marks });
  const server = await serve({ ...playedHour().known, nodes });
  const { page, problems } = await open(server.url, 'admin');
  await goTo(page, '#/nodes', /^Nodes$/);
  expect(await page.getByText(hostile).count()).toBeGreaterThan(1);
  expect(await page.locator('main img').count()).toBe(0);
  expect(problems).toEqual([]);
});
