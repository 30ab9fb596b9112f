import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { up } from './cluster/up.ts';
import { down, isUp, openMesh } from './mesh.ts';
import { installShop, shopHints } from './shop.ts';

const help = `Usage: npm run -s mesh -- COMMAND

  up [--nodes N] [--services N] [--shop]  start a cluster with Istio; returns when it is ready
  kubectl ARGS                            kubectl against it
  istioctl ARGS                           istioctl against it
  admin NAMESPACE/POD PATH                GET on the Envoy admin of a pod's sidecar
  image NAME FILE...                      make an image of FILEs and load it into every node
  status                                  what is up, and what each sidecar carries
  down                                    end it; nothing of it is left

  --nodes N     nodes of the cluster, 1 to 9 (default 2)
  --services N  services that exist only as configuration (default 0)
  --shop        a shop of eight workloads with sidecars
`;

/** Exit code for a wrong command line (EX_USAGE of sysexits.h). */
const exitUsage = 64;

const started = Date.now();
function progress(line: string): void {
  console.error(`${((Date.now() - started) / 1000).toFixed(1).padStart(6)} s  ${line}`);
}

async function upCommand(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      nodes: { type: 'string', default: '2' },
      services: { type: 'string', default: '0' },
      shop: { type: 'boolean', default: false },
    },
  });
  const services = Number(values.services);
  // The bound is the number of addresses that the synthetic endpoints and ClusterIPs have.
  if (!Number.isInteger(services) || services < 0 || services > 50_000)
    throw new Error(`--services ${values.services}: give a whole number from 0 to 50000`);
  await up({ nodes: Number(values.nodes), owned: false, progress });
  const mesh = openMesh();
  if (services > 0) {
    progress(`creating ${services} services`);
    await mesh.createServices(services);
  }
  if (values.shop) {
    progress('installing the shop');
    await installShop(mesh);
  }
  progress('ready');
  if (values.shop) console.log(await shopHints(mesh));
  return 0;
}

function passThrough(tool: 'kubectl' | 'istioctl', args: string[]): number {
  const [command = '', ...rest] = openMesh().argv(tool, args);
  return spawnSync(command, rest, { stdio: 'inherit' }).status ?? 1;
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
    swept: 'no mesh is up; removed what one that was killed had left',
    none: 'no mesh is up',
  };
  console.log(said[await down()]);
  return 0;
}

async function main([command, ...args]: string[]): Promise<number> {
  switch (command) {
    case 'up':
      return upCommand(args);
    case 'kubectl':
    case 'istioctl':
      return passThrough(command, args);
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
