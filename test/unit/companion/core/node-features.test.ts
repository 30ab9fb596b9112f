import fc from 'fast-check';
import { expect, test } from 'vitest';
import { abilitiesOf } from '../../../../companion/core/mesh/node-abilities.ts';
import {
  acceptedLabels,
  labelsOf,
  type NodeFacts,
} from '../../../../companion/core/mesh/node-features.ts';

const icelake =
  'processor\t: 0\nflags\t\t: fpu bmi2 avx512f avx512dq avx512bw avx512ifma avx512_vbmi2 vaes aes sha_ni\n\nprocessor\t: 1\nflags\t\t: fpu\n';

const facts: NodeFacts = {
  ...{ kernel: '6.8.0-45-generic', architecture: 'x64', cpuinfo: icelake, btf: true },
  selfCgroup: '0::/kubepods/pod1\n',
  hugePages: [
    { name: 'hugepages-2048kB', pages: 512 },
    { name: 'hugepages-1048576kB', pages: 0 },
    { name: 'hugepages-64kB', pages: 3 },
  ],
  pciDevices: ['DRIVER=virtio-pci\nPCI_ID=1AF4:1000\n'],
};

test('the labels name kernel, BTF, cgroups, CPU flags, huge pages, CryptoMb and QAT', () => {
  expect(labelsOf(facts)).toEqual({
    ...{ kernel: '6.8', btf: 'true', cgroups: 'v2' },
    ...{ 'cpu-aes': 'true', 'cpu-vaes': 'true', 'cpu-sha': 'true', 'cpu-bmi2': 'true' },
    ...{ 'cpu-avx512f': 'true', 'cpu-avx512dq': 'true', 'cpu-avx512bw': 'true' },
    ...{ 'cpu-avx512ifma': 'true', 'cpu-avx512vbmi2': 'true' },
    ...{ 'hugepages-2Mi': '512', 'hugepages-64Ki': '3' },
    ...{ cryptomb: 'true', qat: 'false' },
  });
});

test.each(['bmi2', 'avx512f', 'avx512dq', 'avx512bw', 'avx512ifma', 'avx512_vbmi2'])(
  'a CPU without %s cannot do CryptoMb',
  (flag) => {
    const cpuinfo = icelake.replace(` ${flag} `, ' ');
    expect(labelsOf({ ...facts, cpuinfo }).cryptomb).toBe('false');
  },
);

test('an arm64 CPU has its own flags, and never CryptoMb', () => {
  const cpuinfo = 'processor : 0\nFeatures\t: fp asimd aes pmull sha1 sha2 sve avx512ifma\n';
  expect(labelsOf({ ...facts, architecture: 'arm64', cpuinfo })).toMatchObject({
    ...{ 'cpu-aes': 'true', 'cpu-sha2': 'true', 'cpu-sve': 'true', cryptomb: 'false' },
  });
});

test.each([
  ['', 'v1'],
  ['9:memory:/\n1:cpu:/\n', 'v1'],
  ['9:memory:/\n0::/\n', 'hybrid'],
  ['0::/\n', 'v2'],
])('cgroups of %j are %s', (selfCgroup, cgroups) => {
  expect(labelsOf({ ...facts, selfCgroup }).cgroups).toBe(cgroups);
});

test('a physical or a virtual function of QAT counts, another device of Intel does not', () => {
  const has = (id: string) => labelsOf({ ...facts, pciDevices: [`PCI_ID=${id}\n`] }).qat;
  expect(['8086:4940', '8086:4941', '8086:37c8'].map(has)).toEqual(['true', 'true', 'true']);
  expect(['8086:1572', '1AF4:4940', ''].map(has)).toEqual(['false', 'false', 'false']);
});

test('every text of a kernel gives valid labels, which a controller accepts as they are', () => {
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom(icelake, 'flags :', ''));
  const anything = fc.record({
    kernel: fc.oneof(text, fc.constantFrom('6.18.44', '5.10', '6', '6.x')),
    architecture: fc.constantFrom('x64', 'arm64', 'riscv64', 'constructor'),
    ...{ cpuinfo: text, selfCgroup: text, btf: fc.boolean() },
    hugePages: fc.array(
      fc.record({
        name: fc.oneof(
          text,
          fc.nat().map((size) => `hugepages-${size}kB`),
        ),
        pages: fc.oneof(fc.integer(), fc.constant(Number.NaN)),
      }),
      { maxLength: 4 },
    ),
    pciDevices: fc.array(text, { maxLength: 3 }),
  });
  fc.assert(
    fc.property(anything, (found) => {
      const labels = labelsOf(found);
      for (const [name, value] of Object.entries(labels)) {
        // Kubernetes' rules (apimachinery/pkg/util/validation).
        expect(name).toMatch(/^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/);
        expect(value).toMatch(/^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/);
      }
      expect(acceptedLabels(labels)).toEqual(labels);
    }),
  );
});

test('of the labels of a companion at most 64 are kept, and none that is no label', () => {
  const many = Object.fromEntries(Array.from({ length: 200 }, (_, n) => [`f${n}`, 'true']));
  expect(Object.keys(acceptedLabels(many))).toHaveLength(64);
  expect(acceptedLabels({ 'a b': 'x', ok: 'x'.repeat(64), fine: '1', '': 'x' })).toEqual({
    fine: '1',
  });
});

const on = { 'lazyscope.io/bypass': 'enabled' };
const says = (text: string) => ({ 'lazyscope.io/bypass-state': text });

test.each([
  ['not labelled', { labels: {} }, 'off', 'not labelled'],
  ['labelled without an agent', { labels: on }, 'off', 'no bypass agent'],
  ['active', { labels: on, annotations: says('active (3 pods)') }, 'on', '3 pods'],
  ['ready', { labels: on, annotations: says('ready') }, 'on', 'no pod asks'],
  ['refused', { labels: on, annotations: says('refused (no BTF)') }, 'off', 'no BTF'],
  ['no longer labelled', { annotations: says('active (3 pods)') }, 'off', 'not labelled'],
  ['unreadable', undefined, 'off', 'may not read'],
] as const)('the bypass of a node that is %s', (_, marks, does, why) => {
  const { bypass } = abilitiesOf('node-1', labelsOf(facts), marks);
  expect(bypass.does).toBe(does);
  expect(bypass.why).toContain(why);
});

test('a node that cannot have the bypass says so, whatever its label', () => {
  const old = labelsOf({ ...facts, kernel: '5.15.0' });
  for (const marks of [undefined, { labels: {} }, { labels: on }])
    expect(abilitiesOf('node-1', old, marks).bypass.why).toContain('older than 6.3');
});

test('TLS offload is QAT, CryptoMb, none with the reason, or unknown', () => {
  const of = (labels?: Record<string, string>) => abilitiesOf('n', labels, {}).tls;
  expect(of({ qat: 'true', cryptomb: 'true' }).can).toBe('qat');
  expect(of({ qat: 'false', cryptomb: 'true' }).can).toBe('cryptomb');
  expect(of({ qat: 'false', cryptomb: 'false' }).why).toContain('AVX-512');
  expect(of().can).toBe('unknown');
});
