import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { createControllerMetrics } from '../../companion/controller/metrics.ts';
import { firstCalls } from '../../companion/core/first-call/strategy.ts';
import { controllerSettings, nodeSettings } from '../../companion/frame/config.ts';
import { variableOf } from '../../companion/frame/settings.ts';
import { createNodeMetrics } from '../../companion/node/metrics.ts';
import { readmeCommands, runnersOf } from '../readme-commands.ts';

// Checks the statements of the README.

const root = join(import.meta.dirname, '../..');
const readme = readFileSync(join(root, 'README.md'), 'utf8');

test('exactly one test runs each command', () => {
  const commands = readmeCommands();
  expect(commands.length).toBeGreaterThan(10);
  for (const command of commands)
    expect([command, runnersOf(command).length]).toEqual([command, 1]);
});

test('every setting exists and has the stated default', () => {
  const settings = { ...nodeSettings, ...controllerSettings };
  const defaults = new Map(
    Object.entries(settings).map(([key, { fallback }]) => [variableOf(key), fallback]),
  );
  const rows = [...readme.matchAll(/^\| (`LAZYSCOPE_[^|]*) \| ([^|]*) \|/gm)];
  expect(rows.length).toBeGreaterThan(4);
  for (const [, names = '', values = ''] of rows) {
    const variables = [...names.matchAll(/`(LAZYSCOPE_\w+)`/g)].map(([, name = '']) => name);
    expect([variables, variables.map((name) => defaults.get(name))]).toEqual([
      variables,
      values.split(', '),
    ]);
  }
  for (const [name] of readme.matchAll(/LAZYSCOPE_\w+/g))
    expect([...defaults.keys()]).toContain(name);
});

test('every metric exists', async () => {
  const registry = new Registry();
  createControllerMetrics(registry);
  createNodeMetrics(registry);
  const known = registry.getMetricsAsArray().map(({ name }) => name);
  const named = [...readme.matchAll(/`(lazyscope_\w+)`/g)].map(([, name]) => name);
  expect(named.length).toBeGreaterThan(5);
  for (const name of named) expect(known).toContain(name);
});

test('every strategy is explained', () => {
  const section = readme.slice(readme.indexOf('## The first call'), readme.indexOf('## Settings'));
  const rows = [...section.matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name);
  expect(rows.sort()).toEqual([...firstCalls].sort());
});

test('a list of scopes has the columns that kubectl prints', () => {
  const crd = parse(readFileSync(join(root, 'manifests/base/crd.yaml'), 'utf8'));
  const columns = crd.spec.versions[0].additionalPrinterColumns as {
    name: string;
    priority?: number;
  }[];
  // The others are shown with `-o wide`.
  const usual = columns.filter(({ priority = 0 }) => priority === 0);
  const header = ['NAME', ...usual.map(({ name }) => name.toUpperCase())];
  const shown = [...readme.matchAll(/^NAME .*$/gm)].map(([line]) => line.split(/ {2,}/));
  expect(shown).toEqual([header, header]);
});
