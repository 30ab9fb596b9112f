import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { call } from '../../box/app-call.ts';
import { companionArchive } from '../../box/artifacts/companion-image.ts';
import { untilNarrowed } from '../../box/fleet.ts';
import { type RunningLoad, startLoad } from '../../box/load.ts';
import { type Mesh, startMesh } from '../../box/mesh.ts';
import { kubeconfigPath, repoDir } from '../../box/paths.ts';
import { enableNamespace, installProduct } from '../../box/product.ts';
import { appPorts, installShop, shopNamespace, shopWorkloads } from '../../box/shop.ts';
import { keepRecordings, logFile, type Recording, type RecordingName } from './recording.ts';

/**
 * Records what a real mesh of 1,000 Services with the shop answers to the command, before and after
 * narrowing: `npm run record:mesh`. Needs root, as every mesh, and some minutes.
 */

const say = (line: string) => console.error(line);
const seconds = 90;

const object = (kind: string, group: string, name: string, spec: object, namespace = 'shop') => ({
  ...{ apiVersion: `${group}/v1`, kind, metadata: { namespace, name }, spec },
});

/** What a shop has besides its workloads. */
const furniture = [
  object('VirtualService', 'networking.istio.io', 'payment', {
    hosts: ['payment'],
    http: [{ route: [{ destination: { host: 'payment' } }], timeout: '5s' }],
  }),
  object('ServiceEntry', 'networking.istio.io', 'bank', {
    ...{ hosts: ['api.bank.example'], resolution: 'DNS' },
    ports: [{ number: 443, name: 'tls', protocol: 'TLS' }],
  }),
  object(
    'Telemetry',
    'telemetry.istio.io',
    'logs',
    { accessLogging: [{ providers: [{ name: 'envoy' }] }] },
    'istio-system',
  ),
];

const url = (name: string) => `http://${name}:${appPorts.http}/`;

/** Each workload calls the next one, and the frontend two more. */
async function trade(mesh: Mesh): Promise<RunningLoad[]> {
  const podOf = (name: string) => mesh.pod(shopNamespace, `app=${name}`);
  const loads: RunningLoad[] = [];
  for (const [index, name] of shopWorkloads.slice(0, -1).entries()) {
    const next = shopWorkloads[index + 1] ?? '';
    const urls = name === 'frontend' ? [next, 'cart', 'reviews'] : [next];
    const rate = { rps: name === 'frontend' ? 6 : 2 };
    loads.push(await startLoad(mesh, await podOf(name), urls.map(url), rate));
  }
  return loads;
}

function read(mesh: Mesh, name: RecordingName, folder: string): Recording {
  const file = join(folder, name);
  const program = [process.execPath, '--import', 'tsx', join(import.meta.dirname, 'read-mesh.ts')];
  const [command = '', ...args] = mesh.inNetwork([...program, name, file]);
  const env = { ...process.env, KUBECONFIG: kubeconfigPath };
  const { status } = spawnSync(command, args, { stdio: 'inherit', cwd: repoDir, env });
  if (status !== 0) throw new Error(`the recording '${name}' failed`);
  return JSON.parse(readFileSync(file, 'utf8')) as Recording;
}

async function record(mesh: Mesh, folder: string): Promise<void> {
  await mesh.createServices(1_000);
  await mesh.apply(furniture.slice(2));
  await installShop(mesh);
  await mesh.apply(furniture.slice(0, 2));
  await installProduct(mesh, say, { LAZYSCOPE_LEARNING_WINDOW_SECONDS: '20' });
  await enableNamespace(mesh, shopNamespace, 'observe');
  say('the shop is observed');
  const loads = await trade(mesh);
  await sleep(seconds * 1_000);
  const logs = ['logs', '-n', shopNamespace, '-l', 'app=frontend', '-c', 'istio-proxy'];
  const text = await mesh.kubectl([...logs, '--prefix', '--tail=-1']);
  writeFileSync(logFile, gzipSync(text));
  const observed = read(mesh, 'observed', folder);
  await enableNamespace(mesh, shopNamespace, 'enforce');
  await untilNarrowed(mesh, shopNamespace, [...shopWorkloads]);
  say('the shop is narrowed');
  // A slip that the doctor is to find.
  const pins = JSON.stringify({ spec: { pins: ['shop/catalogue.shop.svc.cluster.local'] } });
  const scope = ['workloadscope', 'frontend', '-n', shopNamespace];
  await mesh.kubectl(['patch', ...scope, '--type=merge', '-p', pins]);
  const frontend = await mesh.pod(shopNamespace, 'app=frontend');
  for (const name of ['payment', 'inventory', 'ratings']) await call(mesh, frontend, url(name));
  await sleep(seconds * 1_000);
  const narrowed = read(mesh, 'narrowed', folder);
  for (const load of loads) await load.stop();
  keepRecordings({ observed, narrowed });
}

const folder = mkdtempSync(join(tmpdir(), 'lazyscope-recording-'));
const mesh = await startMesh({ archives: [await companionArchive(say)] });
try {
  await record(mesh, folder);
} finally {
  await mesh.stop();
  rmSync(folder, { recursive: true });
}
