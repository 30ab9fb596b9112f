import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import { istioVersion } from '../../../box/artifacts/binaries.ts';
import { companionArchive } from '../../../box/artifacts/companion-image.ts';
import { clusterNames, deleteNamespaces, importedHosts } from '../../../box/fleet.ts';
import { type Helm, openHelm } from '../../../box/helm.ts';
import { openMesh } from '../../../box/mesh.ts';
import { appPorts } from '../../../box/shop.ts';
import { commandsIn } from '../../readme-commands.ts';
import { openUserShell } from '../user-shell.ts';
import { bookinfoPort, writeBookinfo } from './bookinfo.ts';

// Runs the commands of docs/try.md on a mesh without Lazyscope, with the Istio that
// LAZYSCOPE_MESH_ISTIO names: install, narrow, first calls, remove.

const mesh = openMesh();
const namespace = 'shop';
let helm: Helm;
let shell: Awaited<ReturnType<typeof openUserShell>>;

const only = (...known: string[]) => {
  const cases = known.map((each) => `'${each}') exit 0 ;;`).join(' ');
  return `case "$*" in ${cases} *) echo "unexpected: $*" >&2; exit 1 ;; esac`;
};
const install = 'install -y --set profile=minimal';

/** The programs that the commands use. The box is the cluster, with Istio and the image in it. */
const programs = () => ({
  kind: only('create cluster', 'load docker-image lazyscope/companion:0.1.0'),
  docker: only('build -t lazyscope/companion:0.1.0 .'),
  npm: only('ci', 'run -s build:charts'),
  istioctl: `[ "$*" = '${install}' ] || exec ${mesh.argv('istioctl', []).join(' ')} "$@"`,
  kubectl: `exec ${mesh.argv('kubectl', []).join(' ')} "$@"`,
  helm: `exec ${helm.argv.join(' ')} "$@"`,
});

/** The test application has no curl. It prints its result as JSON. */
const withoutCurl = (command: string) =>
  command.replace(/ -- curl -sS (\S+) .*$/, ' -- meshapp call http://$1');

beforeAll(async () => {
  helm = await openHelm(mesh);
  await mesh.loadArchive(await companionArchive(console.error));
  await mesh.createServices(50);
  shell = await openUserShell(programs(), ['manifests'], { ISTIO: 'istio' });
  await cp(helm.charts, join(shell.folder, 'build', 'charts'), { recursive: true });
  await writeBookinfo(join(shell.folder, 'istio'));
});

afterAll(async () => {
  await deleteNamespaces(mesh, namespace);
  await shell.close();
  await helm.close();
});

const podOf = async (app: string) => ({
  ...(await mesh.pod(namespace, `app=${app}`)),
  container: app,
});
const urlOf = (app: string) => `http://${app}:${bookinfoPort}/`;

/** The calls that Bookinfo's own page makes for each request. */
async function callAsThePageDoes(): Promise<void> {
  const page = await podOf('productpage');
  for (const app of ['details', 'reviews'])
    expect([app, (await call(mesh, page, urlOf(app))).status]).toEqual([app, 200]);
}

const hostOf = (app: string) => `${namespace}/${app}.${namespace}.svc.cluster.local`;

/** First calls: one by HTTP, and one by TCP, which another filter counts. */
async function makeFirstCalls(): Promise<void> {
  const ratings = await podOf('ratings');
  const hosts = () => importedHosts(mesh, namespace, 'ratings-v1');
  expect(await hosts()).not.toContain(hostOf('reviews'));
  expect(await call(mesh, ratings, urlOf('reviews'))).toMatchObject({ status: 200 });
  await mesh.waitFor('the host of the HTTP call', async () =>
    (await hosts()).includes(hostOf('reviews')),
  );
  const name = 'details-tcp';
  const ports = [{ name: 'tcp', port: appPorts.tcpServerFirst }];
  const spec = { selector: { app: 'details' }, ports };
  await mesh.apply([{ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace }, spec }]);
  const url = `tcp://${name}:${appPorts.tcpServerFirst}`;
  await mesh.waitFor('the answer of the TCP call', async () => {
    const { error = '', body } = await call(mesh, ratings, url);
    return error === '' && JSON.stringify(body).includes('details-v1');
  });
  await mesh.waitFor('the host of the TCP call', async () =>
    (await hosts()).includes(hostOf(name)),
  );
  // The filter has counted the connection by its own listener, or the host would expire.
  await mesh.waitFor('the cluster of the TCP call', async () => {
    const names = await clusterNames(mesh, ratings);
    return names.some((cluster) => cluster.includes(`||${name}.`));
  });
  expect((await call(mesh, ratings, url)).error ?? '').toBe('');
}

test('the commands of docs/try.md lead from nothing to a narrowed sidecar, and back', async () => {
  expect(await mesh.istioctl(['version'])).toContain(`control plane version: ${istioVersion}`);
  const printed = new Map<string, string>();
  for (const command of commandsIn('docs/try.md')) {
    console.error(`$ ${command}`);
    if (command.startsWith('manifests/remove.sh')) await makeFirstCalls();
    printed.set(command, await shell.sh(withoutCurl(command)));
    if (command.includes('productpage:9080')) await callAsThePageDoes();
  }
  const of = (part: string) =>
    [...printed].find(([command]) => command.includes(part))?.[1] ?? `no command has ${part}`;
  expect(JSON.parse(of('productpage:9080'))).toMatchObject({ status: 200 });
  const scopes = of('get workloadscopes').trim().split('\n').slice(1);
  expect(scopes.map((line) => line.split(/ +/).slice(0, 3))).toEqual(
    ['details-v1', 'productpage-v1', 'ratings-v1', 'reviews-v1', 'reviews-v2', 'reviews-v3'].map(
      (name) => [name, 'enforce', 'Enforced'],
    ),
  );
  const clusters = of('proxy-config clusters');
  for (const app of ['details', 'reviews']) expect(clusters).toContain(`${app}.${namespace}.svc`);
  expect(clusters).not.toContain('synthetic-');
  const kinds = 'sidecars,envoyfilters,wasmplugins,serviceentries,deployments,daemonsets';
  const left = await mesh.kubectl(['get', kinds, '-A', '-o', 'name']);
  expect(left).not.toContain('lazyscope');
  expect((await call(mesh, await podOf('ratings'), urlOf('productpage'))).status).toBe(200);
});
