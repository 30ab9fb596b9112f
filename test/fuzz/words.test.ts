import { isIP } from 'node:net';
import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import {
  hostOfAuthority,
  parseAddress,
  parseClusterName,
} from '../../companion/core/mesh/authority.ts';
import { controllerSettings, nodeSettings } from '../../companion/frame/config.ts';
import { ConfigError } from '../../companion/frame/errors.ts';
import { readSettings, type Settings } from '../../companion/frame/settings.ts';
import { readCall, readHeldCall } from '../../companion/node/call-headers.ts';
import { parseStats } from '../../companion/node/proxy-stats.ts';
import { fuzz, fuzzTimeoutMs, text } from './fuzz.ts';

vi.setConfig({ testTimeout: fuzzTimeoutMs });

const joined = fc.array(fc.oneof(text, fc.constantFrom(':', '.', '|', '[', ']', '80')), {
  maxLength: 6,
});
const word = fc.oneof(
  text,
  joined.map((parts) => parts.join('')),
);

test('any authority is read as a host in Istio’s form, or as none', async () => {
  await fuzz(
    fc.property(word, (authority) => {
      const host = hostOfAuthority(authority);
      if (host === undefined) return;
      expect(host.length).toBeLessThanOrEqual(512);
      expect(isIP(host) !== 0 || /^[a-z0-9_.-]+$/.test(host)).toBe(true);
      if (isIP(host) === 0) expect(hostOfAuthority(host)).toBe(host);
    }),
  );
});

test('any text is read as an address, as a cluster, or as neither', async () => {
  await fuzz(
    fc.property(word, (each) => {
      const address = parseAddress(each);
      if (address) {
        expect(isIP(address.ip)).not.toBe(0);
        expect(address.port).toBeGreaterThan(0);
        expect(address.port).toBeLessThan(65_536);
      }
      const cluster = parseClusterName(each);
      if (cluster) expect(each.toLowerCase()).toContain(cluster.host);
    }),
  );
});

const names = ['call', 'authority', 'destination'].map((name) => `x-lazyscope-${name}`);
const value = fc.oneof(word, fc.constantFrom('http', 'tcp', '10.0.0.1:80'), fc.array(word));
const headers = fc.dictionary(fc.constantFrom('host', ...names), value);

test('any headers are read as a call within its bounds, or refused with a reason', async () => {
  await fuzz(
    fc.property(headers, (given) => {
      for (const call of [readCall(given), readHeldCall(given)]) {
        if (typeof call === 'string') {
          expect(call).not.toBe('');
          continue;
        }
        expect(call.authority).toMatch(/^[\x21-\x7e]{0,512}$/);
        expect(call.destination).toMatch(/^[[\]0-9a-fA-F:.]{8,60}$/);
      }
    }),
  );
});

test('any answer of a proxy is read as figures or as nothing', async () => {
  const line = fc.tuple(
    fc.constantFrom(
      'envoy_server_memory_allocated',
      'envoy_server_memory_physical_size',
      'envoy_cluster_manager_active_clusters',
    ),
    fc.oneof(word, fc.nat().map(String)),
  );
  const lines = fc.array(
    fc.oneof(
      word,
      line.map(([name, number]) => `${name}{} ${number}`),
    ),
  );
  await fuzz(
    fc.property(lines, (answer) => {
      const stats = parseStats(answer.join('\n'));
      for (const figure of Object.values(stats ?? {})) {
        expect(Number.isSafeInteger(figure) && figure >= 0).toBe(true);
      }
    }),
  );
});

const variables = [...Object.keys(nodeSettings), ...Object.keys(controllerSettings)].map(
  (key) => `LAZYSCOPE_${key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`,
);
const environment = fc.dictionary(
  fc.oneof(fc.constantFrom(...variables), text),
  fc.oneof(word, fc.integer().map(String)),
);
const args = fc.array(
  fc.oneof(
    word,
    word.map((each) => `--port=${each}`),
  ),
  { maxLength: 4 },
);

test('any environment and arguments give a frozen configuration, or all problems at once', async () => {
  await fuzz(
    fc.property(environment, args, fc.boolean(), (env, given, isNode) => {
      const table: Settings = isNode ? nodeSettings : controllerSettings;
      try {
        const config = readSettings(table, env, given);
        expect(Object.isFrozen(config)).toBe(true);
        expect(Object.keys(config).sort()).toEqual(Object.keys(table).sort());
      } catch (error) {
        expect(error).toBeInstanceOf(ConfigError);
        expect((error as ConfigError).problems.length).toBeGreaterThan(0);
      }
    }),
  );
});
