import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { type ApiServer, startApiServer } from '../box/api/api-server.ts';
import { populate } from '../box/api/population.ts';
import { binary, ensureBinaries } from '../box/artifacts/binaries.ts';
import { run } from '../box/run.ts';
import { manyScopes, touch, touchAll, writeRoutes, wrongObjects } from './istiod-objects.ts';
import { type Istiod, startIstiod } from './istiod-process.ts';
import { longest, p99, total } from './istiod-text.ts';
import { startXdsClients, type XdsClients } from './xds-clients.ts';

/**
 * Records `/metrics` of real istiods with real delta-xDS streams: of a healthy one, and of others
 * that were driven into what the doctor looks for. `npm run record:istiod` writes them anew.
 */

const folder = join(import.meta.dirname, '../test/recorded/istiod');
const say = (line: string) => console.error(line);
const waitMs = 240_000;

async function keep(name: string, text: string): Promise<void> {
  await writeFile(join(folder, `${name}.gz`), gzipSync(text, { level: 9 }));
  say(`${name}: ${text.split('\n').length} lines`);
}

/** Waits until the metrics are as the recording needs them, and keeps them. */
async function keepWhen(
  name: string,
  istiod: Istiod,
  isSo: (text: string) => boolean,
  step: (turn: number) => Promise<unknown> = async () => undefined,
): Promise<void> {
  const deadline = Date.now() + waitMs;
  for (let turn = 0; ; turn++) {
    const text = await istiod.metrics();
    if (isSo(text)) return keep(name, text);
    if (Date.now() > deadline) throw new Error(`${name}: istiod never came to what it is to show`);
    await step(turn);
    await sleep(1_000);
  }
}

type Settings = { environment?: Record<string, string>; meshConfig?: string };

async function withIstiod(
  api: ApiServer,
  { environment, meshConfig }: Settings,
  use: (
    istiod: Istiod,
    clients: (count: number, ...more: string[]) => Promise<XdsClients>,
  ) => Promise<void>,
): Promise<void> {
  const istiod = await startIstiod(api, say, environment, meshConfig);
  const all: XdsClients[] = [];
  try {
    await use(istiod, async (count, ...more) => {
      const clients = await startXdsClients(istiod.xdsAddress, count, say, more);
      all.push(clients);
      return clients;
    });
  } finally {
    for (const clients of all) await clients.stop();
    await istiod.stop();
  }
}

/** More proxies than Istio has measured for one istiod, in a mesh without Services. */
const crowded = (api: ApiServer) =>
  withIstiod(
    api,
    { environment: { PILOT_MAX_REQUESTS_PER_SECOND: '1000' } },
    async (istiod, clients) => {
      await clients(2_001, '-every', '5ms');
      await keepWhen('crowded', istiod, (text) => total(text, 'pilot_xds') > 2_000);
    },
  );

/** A mesh of 20 workloads after some changes. */
const healthy = (api: ApiServer) =>
  withIstiod(api, {}, async (istiod, clients) => {
    const quiet = await clients(20);
    await quiet.untilQuiet();
    for (let turn = 0; turn < 3; turn++) {
      await touch(api, turn);
      await sleep(1_000);
    }
    await quiet.untilQuiet();
    await keep('healthy', await istiod.metrics());
  });

/** A certificate authority whose root ends in ten days. */
async function expiring(api: ApiServer): Promise<void> {
  const authority = await mkdtemp(join(tmpdir(), 'lazyscope-ca-'));
  const file = (name: string) => join(authority, name);
  const subject = ['-subj', '/O=example/CN=root'];
  const key = ['-newkey', 'rsa:2048', '-nodes', '-keyout', file('ca-key.pem')];
  const made = ['req', '-x509', ...key, '-out', file('ca-cert.pem'), '-days', '10', ...subject];
  const uses = ['-addext', 'keyUsage=critical,keyCertSign,cRLSign'];
  await run('openssl', [...made, ...uses]);
  for (const name of ['root-cert.pem', 'cert-chain.pem'])
    await writeFile(file(name), await readFile(file('ca-cert.pem')));
  const environment = { ENABLE_CA_SERVER: 'true', ROOT_CA_DIR: authority };
  const name = 'citadel_server_root_cert_expiry_timestamp';
  try {
    await withIstiod(api, { environment }, (istiod) =>
      keepWhen('expiring', istiod, (text) => total(text, name) > 0),
    );
  } finally {
    await rm(authority, { recursive: true });
  }
}

/** Each change waits 11 s, one proxy is served at a time, and every scope is computed each time. */
async function slow(api: ApiServer): Promise<void> {
  const environment = {
    ...{ PILOT_DEBOUNCE_AFTER: '11s', PILOT_DEBOUNCE_MAX: '15s', PILOT_PUSH_THROTTLE: '1' },
    ENABLE_LAZY_SIDECAR_EVALUATION: 'false',
  };
  const scopes = await manyScopes(api, 1_500);
  await withIstiod(api, { environment }, async (istiod, clients) => {
    await clients(250);
    await keepWhen(
      'slow',
      istiod,
      (text) =>
        p99(text, 'pilot_proxy_convergence_time') > 10 &&
        p99(text, 'pilot_pushcontext_init_seconds') > 1,
      (turn) => (turn % 45 === 20 ? touch(api, turn) : Promise.resolve()),
    );
  });
  await scopes.remove();
}

/** Objects that name what is not there, and proxies that refuse what they get. */
async function wrong(api: ApiServer): Promise<void> {
  const objects = await wrongObjects(api);
  const environment = { PILOT_REMOTE_CLUSTER_TIMEOUT: '3s' };
  const { meshConfig, metrics } = objects;
  await withIstiod(api, { environment, meshConfig }, async (istiod, clients) => {
    await clients(5);
    await clients(5, '-reject');
    await keepWhen(
      'wrong',
      istiod,
      (text) => {
        const missing = metrics.filter((name) => total(text, name) === 0);
        if (missing.length > 0) say(`not yet: ${missing.join(', ')}`);
        return missing.length === 0;
      },
      (turn) => touchAll(api, turn),
    );
  });
  await objects.remove();
}

/** Routes of one and of ten megabytes. */
const sizes = (api: ApiServer) =>
  withIstiod(api, {}, async (istiod, clients) => {
    await clients(2);
    let written = 0;
    await keepWhen(
      'sizes',
      istiod,
      (text) => longest(text, 'pilot_xds_config_size_bytes') >= 1e7,
      () => writeRoutes(api, written++),
    );
  });

/** What this istiod may export, also what it has not counted yet. */
async function exported(): Promise<void> {
  const out = await mkdtemp(join(tmpdir(), 'lazyscope-exported-'));
  try {
    const program = binary(await ensureBinaries(say), 'pilot-discovery');
    await run(program, ['collateral', '--html_fragment_with_front_matter', '-o', out]);
    const page = await readFile(join(out, 'pilot-discovery.html'), 'utf8');
    const rows = [
      ...page.matchAll(/<tr><td><code>([a-z_]+)<\/code><\/td><td><code>(\w+)<\/code>/g),
    ];
    await keep('exported', `${rows.map(([, name, kind]) => `${name} ${kind}`).join('\n')}\n`);
  } finally {
    await rm(out, { recursive: true });
  }
}

async function record(names: string[]): Promise<void> {
  const is = (name: string) => names.length === 0 || names.includes(name);
  if (is('exported')) await exported();
  const api = await startApiServer(say);
  try {
    if (is('crowded')) await crowded(api);
    if (is('expiring')) await expiring(api);
    await populate(api, { workloads: 20, services: 300 });
    for (const [name, scenario] of Object.entries({ healthy, slow, wrong, sizes }))
      if (is(name)) await scenario(api);
  } finally {
    await api.stop();
  }
}

await record(process.argv.slice(2));
