import { readFileSync, writeFileSync } from 'node:fs';
import { type Cluster, connectCluster } from '../../command/frame/cluster.ts';
import { askConsole, openConsole } from '../../command/frame/console.ts';
import type { KubeObject } from '../../companion/kube/object.ts';
import { commandLine } from '../unit/command/host.ts';
import { recordingFor, runnable, shownLines } from './command-lines.ts';
import {
  listKey,
  names,
  objectKey,
  type Recording,
  type RecordingName,
  serverKey,
} from './recording.ts';

/**
 * Runs the command lines of the documents against the mesh of KUBECONFIG and writes down what the
 * mesh answered. Started by test/recorded/record-mesh.ts in the network of the box.
 */

/** What is looked at besides the lines of the documents. */
const further: Record<RecordingName, string[]> = {
  observed: ['status -A', 'doctor', 'advise'],
  narrowed: [
    'doctor --deep all',
    'check shop',
    'advise',
    'recommend --learned -n shop',
    'export -n shop',
  ],
};
const consolePaths = ['/api/v1/topology?minutes=1', '/api/v1/changes?since=0', '/api/v1/nodes'];

/** No check reads who wrote which field; it would be half of the recording. */
function bare<Value extends KubeObject>(object: Value): Value {
  const { managedFields: _, ...metadata } = object.metadata as KubeObject['metadata'] & {
    managedFields?: unknown;
  };
  return { ...object, metadata };
}

function recording(cluster: Cluster, to: Recording): Cluster {
  return {
    ...cluster,
    async list(resource) {
      const found = (await cluster.list(resource)).map(bare);
      to.lists[listKey(resource)] = found;
      return found;
    },
    async get(resource, name, namespace) {
      const found = await cluster.get(resource, name, namespace);
      to.objects[objectKey(resource, name, namespace)] = found ? bare(found) : null;
      return found;
    },
    async fetchFrom(server, path) {
      const text = await cluster.fetchFrom(server, path);
      to.fetched[`${serverKey(server)}${path}`] = text;
      return text;
    },
    async exec(pod, command) {
      const text = await cluster.exec(pod, command);
      to.printed[`${pod.namespace}/${pod.name} ${command.join(' ')}`] = text;
      return text;
    },
  };
}

async function read(name: RecordingName, file: string): Promise<void> {
  const cluster = await connectCluster({});
  const to: Recording = {
    ...{ now: Date.now(), lists: {}, objects: {}, fetched: {}, printed: {}, console: {} },
  };
  const lines = shownLines().filter(({ line }) => recordingFor(line) === name);
  for (const line of [...lines.map((each) => each.line), ...further[name]]) {
    const { out, err } = await commandLine(runnable(line), recording(cluster, to), to.now);
    console.log(`$ lazyscope ${line}\n${out}${err}`);
  }
  if (name === 'narrowed') {
    const page = await openConsole(recording(cluster, to), { warn: console.error });
    for (const path of consolePaths) to.console[path] = await askConsole(page, path);
    page.close();
  }
  cluster.close();
  writeFileSync(file, JSON.stringify(to));
}

const [name = '', file = ''] = process.argv.slice(2);
const found = names.find((each) => each === name);
if (!found) throw new Error(`'${name}' is no recording: ${names.join(', ')}`);
await read(found, file);
// The file is whole only now.
console.log(`${readFileSync(file).length} bytes`);
