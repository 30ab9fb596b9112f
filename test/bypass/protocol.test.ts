import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { withSbin } from '../../box/bypass/leftovers.ts';
import { loaderPath } from '../../box/paths.ts';
import { run, runResult } from '../../box/run.ts';
import { useRig } from './rig.ts';

const rig = useRig();

/** The loader's answers to these bytes, and its exit code. */
async function answersTo(input: string | Uint8Array): Promise<{ code: number; lines: unknown[] }> {
  const child = spawn(loaderPath, [], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [out, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  const lines = out.trimEnd().split('\n').filter(Boolean);
  return { code, lines: lines.map((line) => JSON.parse(line)) };
}

test('the verifier accepts the programs at every log level', async () => {
  const loader = await rig.loader();
  for (const logLevel of [0, 1, 2, 4])
    expect(await loader.probe({ logLevel })).toMatchObject({ kernel: release(), btf: true });
});

test('each refusal has a reason', async () => {
  const cases: [string, string][] = [
    ['nonsense', 'not a JSON object'],
    ['', 'not a JSON object'],
    ['[]', 'not a JSON object'],
    ['{}', 'not a JSON object'],
    ['{"cmd":"probe"', 'not a JSON object'],
    ['{"cmd":"probe"}}', 'not a JSON object'],
    ['{"cmd":"probe\0"}', 'not a JSON object'],
    ['{"ports":[1]}', 'cmd: missing'],
    ['{"cmd":7}', 'cmd: invalid value'],
    ['{"cmd":"averyverylongcommand"}', 'cmd: invalid value'],
    ['{"cmd":"jump"}', 'send probe or start first'],
    ['{"cmd":"stats"}', 'send probe or start first'],
    ['{"cmd":"start","port":1}', 'port: unknown option, or given twice'],
    ['{"cmd":"start","ports":[1],"ports":[2]}', 'ports: unknown option, or given twice'],
    ['{"cmd":"start","ports":[0]}', 'ports: invalid value'],
    ['{"cmd":"start","ports":[65536]}', 'ports: invalid value'],
    ['{"cmd":"start","byteLimit":-1}', 'byteLimit: invalid value'],
    ['{"cmd":"start","byteLimit":1.5}', 'byteLimit: invalid value'],
    ['{"cmd":"start","byteLimit":9007199254740992}', 'byteLimit: invalid value'],
    ['{"cmd":"start","byteLimit":1073741825}', 'byteLimit: at most 1 GiB'],
    ['{"cmd":"start","connections":0}', 'connections: 1 to 1048576'],
    ['{"cmd":"start","redirect":1}', 'redirect: invalid value'],
    [`{"cmd":"start","cgroups":["${'a'.repeat(512)}"]}`, 'cgroups: invalid value'],
  ];
  const { code, lines } = await answersTo(cases.map(([line]) => `${line}\n`).join(''));
  expect(lines.map((line) => (line as { reason: string }).reason)).toEqual(
    cases.map(([, reason]) => reason),
  );
  expect(code).toBe(0);
});

test('the loader reports a cgroup that it cannot attach with the reason, and attaches the others', async () => {
  const loader = await rig.loader();
  const { refused, cgroups } = await loader.start({
    cgroups: [rig.cgroup, `${rig.cgroup}/none`, '/tmp'],
  });
  expect(cgroups).toBe(1);
  expect(refused).toEqual([
    { cgroup: `${rig.cgroup}/none`, reason: 'cannot open the cgroup', error: 'ENOENT' },
    { cgroup: '/tmp', reason: 'not a cgroup v2 folder', error: 'EOPNOTSUPP' },
  ]);
});

test('one loader holds a cgroup, and another takes over after its exit', async () => {
  const first = await rig.accelerate();
  const second = await rig.loader();
  const { refused } = await second.start({ cgroups: [rig.cgroup] });
  expect(refused).toMatchObject([{ reason: 'another loader holds this cgroup', error: 'EAGAIN' }]);
  await first.close();
  expect((await second.policy({ cgroups: [rig.cgroup] })).refused).toEqual([]);
});

test('a line that arrives in pieces is one line, and an unfinished line is not executed', async () => {
  const child = spawn(loaderPath, [], { stdio: ['pipe', 'pipe', 'inherit'] });
  const out = text(child.stdout);
  for (const piece of ['{"cm', 'd":"st', 'ats"}\n{"cmd":"pro']) {
    child.stdin.write(piece);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  child.stdin.end();
  expect((await out).trimEnd().split('\n')).toHaveLength(1);
});

test('a line without end is refused, and ends the loader', async () => {
  const { code, lines } = await answersTo('x'.repeat(2_000_000));
  expect({ code, lines }).toMatchObject({ code: 0, lines: [{ reason: 'the line is too long' }] });
});

test('a loader ends when nobody reads its output any more', async () => {
  const child = spawn(loaderPath, [], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdout.destroy();
  child.stdin.on('error', () => {});
  const timer = setInterval(() => child.stdin.write('{"cmd":"probe"}\n'), 20);
  const [code] = await once(child, 'exit');
  clearInterval(timer);
  expect(code).toBe(0);
});

test('no bytes on its input crash the loader or go without an answer', async () => {
  const piece = fc.oneof(
    fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ':',
      ',',
      '"',
      '\\',
      ' ',
      '"cmd"',
      '"stats"',
      '"ports"',
      '0',
    ),
    fc.constantFrom('"cgroups"', '"redirect"', 'true', '1e9', '-1', '\u0000', '\\u0041', 'é', '\t'),
    fc.string({ maxLength: 5 }),
  );
  const line = fc
    .array(piece, { maxLength: 20 })
    .map((pieces) => pieces.join('').replaceAll('\n', ' '));
  await fc.assert(
    fc.asyncProperty(fc.array(line, { minLength: 50, maxLength: 200 }), async (lines) => {
      const answer = await answersTo(lines.map((each) => `${each}\n`).join(''));
      expect(answer.code).toBe(0);
      expect(answer.lines).toHaveLength(lines.length);
    }),
    { numRuns: 30 },
  );
});

test('the loader reads a valid request in JSON as JSON.parse does', async () => {
  const option = fc.record({
    ports: fc.array(fc.integer({ min: -1, max: 70_000 }), { maxLength: 5 }),
    byteLimit: fc.oneof(fc.integer({ min: -5, max: 2 ** 31 }), fc.double()),
    redirect: fc.oneof(fc.boolean(), fc.constant(null)),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(option, { minLength: 20, maxLength: 50 }), async (options) => {
      const input = options.map((each) => `${JSON.stringify({ cmd: 'stats', ...each })}\n`);
      const { lines } = await answersTo(input.join(''));
      const sound = options.map(({ ports, byteLimit, redirect }) => {
        // JSON has no -0, and no trailing zeros after the decimal point.
        const limit = JSON.parse(JSON.stringify(byteLimit));
        return (
          ports.every((port) => port > 0 && port < 65_536) &&
          /^\d+$/.test(JSON.stringify(limit)) &&
          limit <= 2 ** 30 &&
          redirect !== null
        );
      });
      expect(lines.map((each) => (each as { reason: string }).reason === notLoaded)).toEqual(sound);
    }),
    { numRuns: 20 },
  );
});

const notLoaded = 'send probe or start first';

test('three capabilities are enough without root, and a missing one is reported', async () => {
  const unshared = (capabilities: string[]) => [
    '--reuid=65534',
    '--regid=65534',
    '--clear-groups',
    `--inh-caps=-all${capabilities.map((each) => `,+${each}`).join('')}`,
    `--ambient-caps=-all${capabilities.map((each) => `,+${each}`).join('')}`,
    `--bounding-set=-all${capabilities.map((each) => `,+${each}`).join('')}`,
    loaderPath,
  ];
  const needed = ['bpf', 'net_admin', 'perfmon'];
  const start = `{"cmd":"start","cgroups":["${rig.cgroup}"]}\n`;
  await run('chmod', ['a+rx', loaderPath]);
  const ok = await runResult('setpriv', unshared(needed), { input: start });
  expect(JSON.parse(ok.stdout)).toMatchObject({ ok: true, cgroups: 1, refused: [] });
  for (const missing of needed) {
    const caps = needed.filter((each) => each !== missing);
    const answer = await runResult('setpriv', unshared(caps), { input: start });
    expect(JSON.parse(answer.stdout)).toMatchObject({ ok: false });
  }
});

test('the capabilities of the loader’s file are enough for a user without capabilities', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lazyscope-caps-'));
  const path = join(folder, 'loader');
  try {
    await run('chmod', ['a+rx', folder]);
    await run('cp', [loaderPath, path]);
    await run('setcap', ['cap_bpf,cap_net_admin,cap_perfmon+ep', path], { env: withSbin });
    const user = ['--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=-all', path];
    const start = `{"cmd":"start","cgroups":["${rig.cgroup}"]}\n`;
    const { stdout } = await runResult('setpriv', user, { input: start });
    expect(JSON.parse(stdout)).toMatchObject({ ok: true, cgroups: 1, refused: [] });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
