import { expect, test } from 'vitest';
import type { Past } from '../../companion/controller/console/past.ts';
import { NoAnswer } from '../../companion/controller/console/prometheus.ts';
import { accessibilityOf, goTo, picture, playedHour, useServers } from './rig.ts';

const { open, serve } = useServers();

const day = 86_400_000;

/** Forty days before the played hour, as `createPast` reads them from Prometheus. */
function pastBefore(beginsAt: number, isAway = () => false): Past {
  const answer = <Found>(found: Found): Found => {
    if (isAway()) throw new NoAnswer('Prometheus did not answer within 10 s');
    return found;
  };
  return {
    oldestAt: () => beginsAt - 40 * day,
    async figures(_, { days }) {
      const bins = Array.from({ length: 365 }, (_, bin) => bin);
      const memory = bins.map((bin) => (bin < 200 ? 0 : bin < 320 ? 1.2e9 : 0.2e9));
      const full = bins.map((bin) => (bin < 200 ? 0 : 1.2e9));
      const binMs = (days * day) / 365;
      return answer({
        from: Date.now() - days * day,
        binMs,
        memory,
        full,
        clusters: memory,
        fullClusters: [],
      });
    },
    async edges(_, { to, minutes }) {
      const called = { namespace: 'storefront', workload: 'web' };
      const host = 'storefront/then.storefront.svc.cluster.local';
      const times = { firstAt: 0, lastAt: to };
      const edges = [{ ...called, host, ...times, calls: 600, total: 600 }];
      return answer({ edges, from: to - minutes * 60_000, to });
    },
  };
}

test('older times are read from Prometheus, which the page says; Kiali is a link away', async () => {
  const { known, beginsAt } = playedHour();
  const kiali = 'https://kiali.example.com/kiali';
  const server = await serve({ ...known, past: pastBefore(beginsAt), kiali });
  const { page, problems } = await open(server.url, 'admin');
  await page.getByText('Prometheus has older times').waitFor();
  await page.getByLabel('Charts over').selectOption('90');
  await page.getByRole('heading', { name: 'Memory of all sidecars, 90 days' }).waitFor();
  await page.getByText('from Prometheus').first().waitFor();
  expect(await accessibilityOf(page)).toEqual([]);
  await picture(page, 'older-overview');
  await goTo(page, '#/workloads/storefront/web', /storefront\/web/);
  await page.getByText('from Prometheus').first().waitFor();
  await picture(page, 'older-workload');
  const link = page.getByRole('link', { name: 'Kiali' });
  expect(await link.getAttribute('href')).toBe(
    `${kiali}/console/namespaces/storefront/workloads/web`,
  );
  await goTo(page, '#/topology/storefront', /^Who calls whom: storefront/);
  expect(await page.getByRole('link', { name: 'Kiali' }).getAttribute('href')).toContain(
    '/console/graph/namespaces?namespaces=storefront',
  );
  await page.locator('#when').fill(String(beginsAt - 20 * day));
  await page.getByRole('cell', { name: 'then.storefront' }).waitFor();
  await page.getByText('From Istio’s metrics in Prometheus').waitFor();
  expect(await accessibilityOf(page)).toEqual([]);
  await picture(page, 'older-topology');
  expect(problems).toEqual([]);
});

test('a Prometheus that is away leaves the page as it is, and says why a time is unknown', async () => {
  const { known, beginsAt } = playedHour();
  const server = await serve({ ...known, past: pastBefore(beginsAt, () => true) });
  const { page, problems } = await open(server.url, 'admin');
  await page.getByLabel('Charts over').selectOption('365');
  await page.getByText('No older times: Prometheus did not answer').first().waitFor();
  await page.getByRole('cell', { name: 'storefront' }).first().waitFor();
  await picture(page, 'older-away-overview');
  await goTo(page, '#/topology', /all namespaces/);
  await page.locator('#when').fill(String(beginsAt - 20 * day));
  await page.getByText('This time is unknown: Prometheus did not answer').waitFor();
  await picture(page, 'older-away-topology');
  await page.getByRole('button', { name: 'Live', exact: true }).click();
  await page.locator('#age', { hasText: 'live' }).waitFor();
  expect(await page.getByRole('link', { name: 'Kiali' }).count()).toBe(0);
  expect(problems).toEqual([]);
});
