import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { installAccessLog } from './access-log.ts';
import { companionArchive } from './artifacts/companion-image.ts';
import { ensureBuild } from './artifacts/product-build.ts';
import { up } from './cluster/up.ts';
import { down, isUp, openMesh } from './mesh.ts';
import { kubeconfigPath, repoDir } from './paths.ts';
import { missingPrerequisites } from './prerequisites.ts';
import { enableNamespace, installProduct } from './product.ts';
import { installShop, shopHints } from './shop.ts';
import { readEnable, readUp } from './up-options.ts';

const help = `Usage: npm run -s mesh -- COMMAND

  up [OPTIONS]            start a cluster with Istio; returns when it is ready
  enable NAMESPACE MODE [--source access-log]
                          set a namespace, created if missing, to observe, enforce or off, with
                          the filter, or without Wasm
  kubectl ARGS            run kubectl against the cluster
  istioctl ARGS           run istioctl against the cluster
  lazyscope ARGS          run the command of this checkout against the cluster, as its administrator
  admin NAMESPACE/POD PATH  get a path of the Envoy admin interface of a pod's sidecar
  image NAME FILE...      build an image of the FILEs and load it into every node
  status                  show nodes, pods, and the memory and clusters of each sidecar
  down                    stop the cluster and remove everything that it left

  --nodes N               nodes of the cluster, 1 to 9 (default 2)
  --services N            number of services without pods (default 0)
  --shop                  a shop of eight workloads with sidecars
  --product               install the product as its README does: the image and manifests/base
  --enforce NAMESPACE     with --product: narrow the workloads of a namespace; may be repeated
  --learning-seconds N    with --product: the learning window of each workload (default: a day)

To watch the workloads of a shop being narrowed:
  npm run -s mesh -- up --services 1000 --shop --product --enforce shop --learning-seconds 10
`;

/** Exit code for a wrong command line (EX_USAGE of sysexits.h). */
const exitUsage = 64;

const started = Date.now();
function progress(line: string): void {
  console.error(`${((Date.now() - started) / 1000).toFixed(1).padStart(6)} s  ${line}`);
}

async function upCommand(args: string[]): Promise<number> {
  const { nodes, services, shop, product, enforce, learningSeconds } = readUp(args);
  const missing = product ? missingPrerequisites('product') : [];
  if (missing.length > 0)
    throw new Error(`the product cannot be built here:\n- ${missing.join('\n- ')}`);
  // Built before the mesh starts, which would be useless without the image.
  const archives = product ? [await companionArchive(progress)] : [];
  await up({ nodes, owned: false, progress, archives });
  const mesh = openMesh();
  if (services > 0) {
    progress(`creating ${services} services`);
    await mesh.createServices(services);
  }
  if (shop) {
    progress('installing the shop');
    await installShop(mesh);
  }
  if (product) {
    progress('installing the product');
    const window = learningSeconds?.toString();
    const settings = window === undefined ? {} : { LAZYSCOPE_LEARNING_WINDOW_SECONDS: window };
    await installProduct(mesh, progress, settings);
  }
  for (const namespace of enforce) {
    progress(`enabling ${namespace}`);
    await enableNamespace(mesh, namespace, 'enforce');
  }
  progress('ready');
  if (shop) console.log(await shopHints(mesh));
  if (product) console.log(productHints(enforce));
  return 0;
}

function productHints(enforced: string[]): string {
  const [namespace = 'shop'] = enforced;
  return [
    '',
    'The product is installed:',
    ...(enforced.length > 0 ? [] : [`  npm run -s mesh -- enable ${namespace} observe`]),
    `  npm run -s mesh -- kubectl get workloadscopes -n ${namespace}`,
    `  npm run -s mesh -- lazyscope doctor`,
  ].join('\n');
}

async function enableCommand(args: string[]): Promise<number> {
  const { namespace, mode, source } = readEnable(args);
  const mesh = openMesh();
  const installed = ['get', 'deployment', 'lazyscope-controller', '-n', 'lazyscope-system'];
  if ((await mesh.kubectl([...installed, '--ignore-not-found', '-o', 'name'])) === '')
    throw new Error('the product is not in this mesh: start one with `up --product`');
  await ensureBuild(repoDir);
  if (source === 'access-log') await installAccessLog(mesh, namespace, mode);
  else await enableNamespace(mesh, namespace, mode);
  console.log(`${namespace}: ${mode}`);
  return 0;
}

function runAttached([command = '', ...args]: string[], env = process.env): number {
  return spawnSync(command, args, { stdio: 'inherit', env }).status ?? 1;
}

/** The API server of the mesh has an address only in the network of the box. */
function lazyscopeCommand(args: string[]): number {
  const node = [process.execPath, '--import', 'tsx', join(repoDir, 'command', 'main.ts'), ...args];
  return runAttached(openMesh().inNetwork(node), { ...process.env, KUBECONFIG: kubeconfigPath });
}

async function adminCommand([pod = '', path = '/']: string[]): Promise<number> {
  const [namespace, name] = pod.split('/');
  if (!namespace || !name) throw new Error(`'${pod}': name the pod as NAMESPACE/POD`);
  process.stdout.write(await openMesh().admin({ namespace, name }, path));
  return 0;
}

async function imageCommand([name, ...files]: string[]): Promise<number> {
  if (!name || files.length === 0) throw new Error('give a name and at least one file');
  console.log(await openMesh().loadImage(name, files));
  return 0;
}

async function statusCommand(): Promise<number> {
  if (!(await isUp())) {
    console.log('no mesh is up');
    return 1;
  }
  const mesh = openMesh();
  console.log(`up since ${mesh.state.started}`);
  console.log(await mesh.kubectl(['get', 'nodes', '-o', 'wide']));
  console.log(await mesh.kubectl(['get', 'pods', '-A', '-o', 'wide']));
  const rows = (await mesh.sidecars()).map(({ namespace, name, figures }) => [
    `${namespace}/${name}`,
    figures ? `${(figures.allocatedBytes / 1e6).toFixed(1)} MB` : 'no answer',
    String(figures?.clusters ?? ''),
  ]);
  for (const [pod = '', memory = '', clusters = ''] of [
    ['SIDECAR', 'ALLOCATED', 'CLUSTERS'],
    ...rows,
  ])
    console.log(`${pod.padEnd(60)}${memory.padEnd(13)}${clusters}`);
  return 0;
}

async function downCommand(): Promise<number> {
  const said = {
    ended: 'the mesh is down',
    swept: 'no mesh is up; removed the leftovers of a killed mesh',
    none: 'no mesh is up',
  };
  console.log(said[await down()]);
  return 0;
}

async function main([command, ...args]: string[]): Promise<number> {
  const isOurs = command === 'up' || command === 'enable';
  if (isOurs && (args.includes('--help') || args.includes('-h'))) return main(['help']);
  switch (command) {
    case 'up':
      return upCommand(args);
    case 'enable':
      return enableCommand(args);
    case 'kubectl':
    case 'istioctl':
      return runAttached(openMesh().argv(command, args));
    case 'lazyscope':
      return lazyscopeCommand(args);
    case 'admin':
      return adminCommand(args);
    case 'image':
      return imageCommand(args);
    case 'status':
      return statusCommand();
    case 'down':
      return downCommand();
    case 'help':
    case '--help':
    case '-h':
      console.log(help);
      return 0;
    default:
      console.error(`mesh: no command '${command ?? ''}'\n\n${help}`);
      return exitUsage;
  }
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: Error) => {
    console.error(`mesh: ${error.message}`);
    process.exit(1);
  },
);
