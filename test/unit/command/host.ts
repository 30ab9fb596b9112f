import type { Cluster } from '../../../command/frame/cluster.ts';
import { CommandError } from '../../../command/frame/failure.ts';
import { run } from '../../../command/program.ts';
import type { KubeObject, Resource } from '../../../companion/kube/object.ts';
import { serverKey } from '../../recorded/recording.ts';

/** A cluster of objects in memory, which records the patches. */
export type ObjectCluster = Cluster & {
  patches: { path: string; body: object; dryRun: boolean }[];
};

const kinds: Record<string, string> = {
  namespaces: 'Namespace',
  pods: 'Pod',
  services: 'Service',
  workloadscopes: 'WorkloadScope',
};

/**
 * True if `plural` is the plural of the object's kind: in the table above, or else in lower case
 * with an `s`.
 */
function isOf({ group, plural }: Resource, { kind }: KubeObject): boolean {
  if (group === 'metrics.k8s.io') return kind === 'PodMetrics';
  const lower = kind.toLowerCase();
  const usual = lower.endsWith('y') ? `${lower.slice(0, -1)}ies` : `${lower}s`;
  return kinds[plural] === kind || plural === usual;
}

/** What servers of the cluster answer, by `pods/namespace/name:port/path` or `nodes/name/path`. */
export type Answers = Record<string, (path: string) => string>;

export function objectCluster(
  objects: readonly KubeObject[],
  {
    namespace = 'default',
    answers = {},
    texts = {},
  }: { namespace?: string; answers?: Answers; texts?: Record<string, string> } = {},
): ObjectCluster {
  const patches: ObjectCluster['patches'] = [];
  const found = (resource: Resource, inNamespace: string | undefined) =>
    objects.filter(
      (object) =>
        isOf(resource, object) &&
        (inNamespace === undefined || object.metadata.namespace === inNamespace),
    );
  return {
    namespace,
    patches,
    list: async (resource) => {
      const [, name] = /^metadata\.name=(.*)$/.exec(resource.fieldSelector ?? '') ?? [];
      return found(resource, resource.namespace).filter(
        ({ metadata }) => name === undefined || metadata.name === name,
      );
    },
    get: async (resource, name, inNamespace) =>
      found(resource, inNamespace).find(({ metadata }) => metadata.name === name),
    async patch(resource, { name, namespace: inNamespace = '' }, body, dryRun) {
      patches.push({ path: `${resource.plural} ${inNamespace}/${name}`, body, dryRun });
      return { apiVersion: '', kind: '', metadata: { name } };
    },
    fetchFrom: async (server, path) => {
      const address = `${serverKey(server)}${path.replace(/\?.*/, '')}`;
      const answer = answers[address];
      if (answer === undefined) throw new CommandError(`${address}: nothing answers`, 'none');
      return answer(path);
    },
    // Output of commands in pods, by `namespace/pod command`.
    async exec({ namespace: where, name }, command) {
      const text = texts[`${where}/${name} ${command.join(' ')}`];
      if (text === undefined) throw new CommandError(`${where}/${name}: nothing runs`, 'none');
      return text;
    },
    followLog: async () => {
      throw new CommandError('no log can be followed', 'none');
    },
    connectTo: async () => {
      throw new CommandError('no pod can be reached', 'none');
    },
    createToken: async () => {
      throw new CommandError('no token is given', 'none');
    },
    ownToken: async () => undefined,
    close: () => undefined,
  };
}

/** What else is special about the process. */
type Situation = {
  isTerminal?: boolean;
  interrupted?(): Promise<void>;
  onWrite?(text: string): void;
};

/** Runs a command line against a cluster of objects. `now` is in milliseconds since the epoch. */
export async function commandLine(
  line: string,
  cluster: Cluster = objectCluster([]),
  now = Date.parse('2026-11-28T12:00:00Z'),
  { isTerminal = false, interrupted = async () => {}, onWrite }: Situation = {},
): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const code = await run(line === '' ? [] : line.split(' '), {
    program: 'lazyscope',
    out: {
      write: (text) => {
        out += text;
        onWrite?.(text);
      },
      warn: (text) => {
        err += text;
      },
      paint: (text) => text,
      isTerminal,
    },
    connect: async () => cluster,
    now: () => now,
    interrupted,
  });
  return { code, out, err };
}
