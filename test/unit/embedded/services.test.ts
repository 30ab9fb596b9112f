import fc from 'fast-check';
import { expect, test } from 'vitest';
import { stringify } from 'yaml';
import {
  generateServices,
  portsMax,
  readServices,
  ServicesFileError,
  servicesMax,
} from '../../../embedded/services.ts';

const good = 'services:\n  - name: cart\n    namespace: shop\n    ports: [8080, 9080]\n';

function refusal(text: string): string {
  try {
    readServices(text, 'mesh.yaml');
  } catch (error) {
    if (error instanceof ServicesFileError) return error.message;
    throw error;
  }
  return 'taken';
}

test('a file is read completely', () => {
  expect(readServices(good, 'mesh.yaml')).toEqual([
    { name: 'cart', namespace: 'shop', ports: [8080, 9080] },
  ]);
});

test('generated services can be written to a file and read again', () => {
  const services = generateServices(120);
  expect(readServices(stringify({ services }), 'mesh.yaml')).toEqual(services);
});

test.each([
  ['services: [', 'mesh.yaml:1: not YAML: '],
  ['- cart\n', 'mesh.yaml:1: must be a map with the key services'],
  ['services: 3\n', 'mesh.yaml:1: services: must be a list'],
  ['service: []\n', 'mesh.yaml:1: service: is not a known key; the keys are services'],
  [`${good}  - cart\n`, 'mesh.yaml:5: services[1]: must be a map with name, namespace and ports'],
  [good.replace('cart', 'Cart'), 'mesh.yaml:2: services[0].name: "Cart" is not a name ('],
  [good.replace('cart', 'cart-'), 'mesh.yaml:2: services[0].name: "cart-" is not a name ('],
  [good.replace('shop', '7'), 'mesh.yaml:3: services[0].namespace: 7 is not a name ('],
  ['services:\n  - name: a\n    ports: [1]\n', 'mesh.yaml:2: services[0].namespace: is missing'],
  [
    good.replace('9080', '99999'),
    'mesh.yaml:4: services[0].ports[1]: 99999 is not a port (1 to 65535)',
  ],
  [good.replace('9080', '8080'), 'mesh.yaml:2: services[0].ports: 8080 is listed twice'],
  [good.replace('[8080, 9080]', '80'), 'mesh.yaml:4: services[0].ports: must be a list'],
  [good.replace('ports:', 'port:'), 'mesh.yaml:4: services[0].port: is not a known key'],
  [`${good}${good.slice(10)}`, 'mesh.yaml:5: services[1]: shop/cart is already services[0]'],
])('%j is refused with line, field and reason', (text, reason) => {
  expect(refusal(text)).toContain(reason);
});

test('more ports than Envoy can watch are refused at the line that exceeds the bound', () => {
  const ports = Array.from({ length: portsMax + 1 }, (_, i) => i + 1);
  const services = [{ name: 'a', namespace: 'b', ports }];
  expect(refusal(stringify({ services }))).toContain(
    `more than ${portsMax} different ports in all`,
  );
});

test('more services than the memory allows are refused', () => {
  const text = `services: [${'{},'.repeat(servicesMax + 1)}]`;
  expect(refusal(text)).toBe(
    `mesh.yaml:1: services: ${servicesMax + 1} services, and at most ${servicesMax} are allowed`,
  );
});

test('any text is read or refused with one of its lines', () => {
  const texts = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.json().map((json) => `services: ${json}`),
    fc.tuple(fc.nat(good.length), fc.string()).map(([at, part]) => good.slice(0, at) + part),
  );
  fc.assert(
    fc.property(texts, (text) => {
      const result = refusal(text);
      if (result === 'taken') return;
      const [, line] = /^mesh\.yaml:(\d+): ./.exec(result) ?? [];
      expect(Number(line)).toBeGreaterThan(0);
      expect(Number(line)).toBeLessThanOrEqual(text.split('\n').length);
    }),
    { numRuns: 200 },
  );
}, 60_000);
