import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { stringify } from 'yaml';
import {
  generateServices,
  portsMax,
  readServices,
  ServicesFileError,
  servicesMax,
} from '../../embedded/services.ts';
import { fuzz, fuzzTimeoutMs, mutated, text } from './fuzz.ts';

vi.setConfig({ testTimeout: fuzzTimeoutMs });

const word = fc.oneof(text, fc.constantFrom('name', 'namespace', 'ports', 'services', 'cart'));
const scalar = fc.oneof(word, fc.integer(), fc.constantFrom(null, true, 80, 65_536, Infinity));
const item = fc.oneof(
  scalar,
  fc.dictionary(word, fc.oneof(scalar, fc.array(scalar, { maxLength: 3 })), { maxKeys: 4 }),
);
const shaped = fc.array(item, { maxLength: 4 }).map((services) => stringify({ services }));
const good = stringify({ services: generateServices(3) });
/** Syntax that YAML has and JSON lacks. */
const yaml = fc
  .array(
    fc.constantFrom(
      ...['services:', '\n', '  ', '- ', '&a ', '*a', '<<: ', '!!', '!x ', '? ', ': ', '| ', '> '],
      ...[
        '{',
        '}',
        '[',
        ']',
        ', ',
        '#',
        '%YAML 1.1\n',
        '---\n',
        '...\n',
        'name: ',
        'ports: ',
        '80',
      ],
    ),
    { maxLength: 30 },
  )
  .map((parts) => parts.join(''));
const broken = mutated(fc.constant(new Uint8Array(Buffer.from(good)))).map((bytes) =>
  Buffer.from(bytes).toString(),
);

test('any services file is read within its bounds, or refused with one of its lines', async () => {
  await fuzz(
    fc.property(fc.oneof(shaped, yaml, broken, text), (given) => {
      try {
        const services = readServices(given, 'mesh.yaml');
        expect(services.length).toBeLessThanOrEqual(servicesMax);
        const names = services.map(({ namespace, name }) => `${namespace}/${name}`);
        expect(new Set(names).size).toBe(names.length);
        for (const name of names) expect(name).toMatch(/^[a-z0-9-]{1,63}\/[a-z0-9-]{1,63}$/);
        const ports = new Set(services.flatMap((service) => service.ports));
        expect(ports.size).toBeLessThanOrEqual(portsMax);
        for (const port of ports) expect(port > 0 && port < 65_536).toBe(true);
      } catch (error) {
        expect(error).toBeInstanceOf(ServicesFileError);
        const [, line] = /^mesh\.yaml:(\d+): ./.exec((error as Error).message) ?? [];
        expect(Number(line)).toBeGreaterThan(0);
        expect(Number(line)).toBeLessThanOrEqual(given.split(/\r\n|\r|\n/).length);
      }
    }),
  );
});
