import { expect, test } from 'vitest';
import { requestFailure } from '../../../command/frame/failure.ts';
import { programOf } from '../../../command/program.ts';
import { version } from '../../../companion/frame/version.ts';
import { commandsRunBy } from '../../readme-commands.ts';
import { commandLine } from './host.ts';

const host = {
  program: 'kubectl lazyscope',
  out: {
    ...{ write: () => undefined, warn: () => undefined, paint: (text: string) => text },
    isTerminal: false,
  },
  interrupted: async () => undefined,
  connect: () => Promise.reject(new Error('no cluster is asked for')),
  now: () => 0,
};
const shown = programOf(host, () => undefined).commands.filter(
  (command) => !command.name().startsWith('__'),
);

test.each(shown.map((command) => [command.name()]))('%s --help has an example', async (name) => {
  const { code, out } = await commandLine(`${name} --help`);
  expect(code).toBe(0);
  expect(out).toMatch(new RegExp(`\nExample:\n(  .*\n)*  lazyscope ${name}`));
});

test('the help lists each verb once', async () => {
  const { code, out } = await commandLine('--help');
  expect(code).toBe(0);
  const listed = out.slice(out.indexOf('Commands:')).matchAll(/^ {2}([a-z]+)/gm);
  expect([...listed].map(([, name]) => name)).toEqual(shown.map((command) => command.name()));
});

test.each(commandsRunBy('command'))("the README's %s works", async (command) => {
  const { code, out } = await commandLine(command.replace('npm run -s lazyscope -- ', ''));
  expect(code).toBe(0);
  expect(out).not.toBe('');
});

test('the version is the version of the release', async () => {
  expect((await commandLine('version')).out).toContain(`lazyscope ${version} `);
  expect(JSON.parse((await commandLine('version -o json')).out)).toMatchObject({ version });
});

test.each([
  ['no verb', '', 'Usage:'],
  ['an unknown verb', 'statsu', "unknown command 'statsu'"],
  ['an unknown option', 'version --pony', "unknown option '--pony'"],
  ['an unknown format', 'version -o xml', "'xml' is invalid. Allowed choices are table, wide"],
  ['two namespaces', 'version -n shop -A', 'cannot be used with option'],
  ['a missing argument', 'completion', "missing required argument 'shell'"],
])('%s exits with the code of a wrong command line', async (_, line, text) => {
  const { code, out, err } = await commandLine(line);
  expect(code).toBe(64);
  expect(err).toContain(text);
  expect(out).toBe('');
});

const asked = {
  verb: 'list',
  resource: 'workloadscopes.lazyscope.io',
  server: 'https://10.0.0.1',
} as const;

test.each([
  [
    403,
    { namespace: 'shop' },
    /right to list workloadscopes\.lazyscope\.io in namespace shop \(403\)/,
  ],
  [403, {}, /right to list workloadscopes\.lazyscope\.io in the whole cluster \(403\)/],
  [404, {}, /the cluster has no such kind \(404\)/],
  [401, {}, /https:\/\/10\.0\.0\.1 does not accept your credentials \(401\)/],
  [0, {}, /no answer from https:\/\/10\.0\.0\.1: refused/],
  [409, { name: 'cart' }, /somebody changed it at the same time/],
  [422, { name: 'cart' }, /workloadscopes\.lazyscope\.io cart in the whole cluster: 422: refused/],
])('the error of a request that fails with %i %o names the request', (status, more, text) => {
  const { message, remedy } = requestFailure({ ...asked, ...more }, status, 'refused');
  expect(message).toMatch(text);
  expect(remedy).not.toBe('');
});

test.each([
  ['self-signed certificate', /--certificate-authority=FILE/],
  ['self-signed certificate in certificate chain', /--certificate-authority=FILE/],
  ['unable to verify the first certificate', /--certificate-authority=FILE/],
  ['unable to get local issuer certificate', /--certificate-authority=FILE/],
  ['certificate has expired', /check the clock/],
  ['certificate is not yet valid', /check the clock/],
  ["Hostname/IP does not match certificate's altnames: IP: 10.0.0.1", /--tls-server-name=NAME/],
  ['ssl/tls alert bad certificate', /client certificate/],
  ['wrong version number', /https or http/],
  ['connect ECONNREFUSED 10.0.0.1:443', /can be reached from here/],
])('a connection that fails with "%s" has a remedy for just that', (cause, remedy) => {
  const failure = requestFailure(asked, 0, `no answer: ${cause}`);
  expect(failure.message).toContain(cause);
  expect(failure.remedy).toMatch(remedy);
});

test('the error for a missing permission names the command that grants it', () => {
  const { remedy } = requestFailure({ ...asked, namespace: 'shop' }, 403, '');
  expect(remedy).toBe(
    'ask for it: kubectl create role -n shop lazyscope-reader --verb=list --resource=workloadscopes.lazyscope.io',
  );
});
