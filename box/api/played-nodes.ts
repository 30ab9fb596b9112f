import { credentials, Metadata } from '@grpc/grpc-js';
import {
  type Answer,
  authorizationKey,
  connectController,
  type NodeMessage,
  type ProxyReport,
} from '../../companion/contract/rpc.ts';
import { tokenOf } from './accounts.ts';
import type { ApiServer } from './api-server.ts';
import {
  clusterOf,
  namespaceOf,
  nodeOf,
  nodesOf,
  type Population,
  podName,
  podsPerWorkload,
} from './population.ts';
import { startRelay } from './relay.ts';

/** Node companions as a controller sees them: streams that report the pods of their nodes. */
export type PlayedNodes = {
  /** A workload's pods use a Service that they may not have used before. */
  see(workload: number, service: number): void;
  seeCluster(workload: number, cluster: string): void;
  /**
   * A pod of a workload calls a Service for the first time; resolves with its filter's answer.
   */
  ask(workload: number, service: number): Promise<Answer>;
  stop(): void;
};

const destinationsPerWorkload = 10;
/** The interval of reports of the node companion, also when nothing is new. */
const repeatMs = 25_000;
/** The shortest delay of a node companion that the controllers refused. */
const reconnectMs = 1_000;
const namespace = 'lazyscope-system';

type Pod = { metadata: { name: string; namespace: string; uid: string } };

/** Connects with tokens, each bound to a node, that the API server issues and reviews. */
export async function playNodes(
  api: ApiServer,
  port: number,
  population: Population,
): Promise<PlayedNodes> {
  const uids = await podUids(api);
  const nodes = nodesOf(population);
  const homes = podsByNode(population);
  const tokens = await Promise.all(
    Array.from({ length: nodes }, (_, node) => nodeToken(api, `node-${node}`)),
  );
  const config = `/api/v1/namespaces/${namespace}/configmaps/lazyscope-ca`;
  const { data } = await api.call<{ data: { 'ca.crt': string } }>('GET', config);
  const ca = Buffer.from(data['ca.crt']);
  const asked = new Map<number, (answer: Answer) => void>();
  const relays = await Promise.all(
    Array.from({ length: nodes }, (_, node) => startRelay(port, addressOf(node))),
  );
  const streams = relays.map((relay, node) => {
    const client = connectController(relay.address, credentials.createSsl(ca));
    const metadata = new Metadata();
    metadata.set(authorizationKey, `Bearer ${tokens[node]}`);
    let isStopped = false;
    let stream = connect();
    // A controller refuses streams while it reviews many tokens, so nodes connect again.
    function connect() {
      const next = client.connect(metadata);
      next.on('error', () => {
        if (!isStopped) again = setTimeout(reconnect, reconnectMs * (1 + Math.random()));
      });
      next.on('data', ({ answer }) => answer && asked.get(answer.id)?.(answer));
      next.write({ hello: { node: `node-${node}`, version: '0.1.0' } });
      return next;
    }
    let reports = 0;
    const sendReports = () => {
      reports += 1;
      for (const { workload, pod } of homes[node] ?? []) {
        const report = reportOf(workload, pod, population, uids);
        const edges = report.edges.map((edge) => ({ ...edge, count: reports }));
        stream.write({ report: { ...report, edges } });
      }
    };
    function reconnect() {
      stream = connect();
      sendReports();
    }
    let again: NodeJS.Timeout | undefined;
    sendReports();
    // Spreads the reports of the nodes over time.
    let timer = setTimeout(
      () => {
        sendReports();
        timer = setInterval(sendReports, repeatMs);
      },
      repeatMs * (1 + node / nodes),
    );
    const stop = () => {
      isStopped = true;
      clearTimeout(timer);
      clearTimeout(again);
    };
    return { client, relay, stop, write: (message: NodeMessage) => stream.write(message) };
  });
  const nodeFor = (workload: number) => streams[nodeOf(workload, 0, population)];
  function seeCluster(workload: number, cluster: string): void {
    const report = reportOf(workload, 0, population, uids);
    const edges = [{ cluster, secondsSinceSeen: 0 }];
    nodeFor(workload)?.write({ report: { ...report, edges } });
  }
  return {
    see: (workload, service) => seeCluster(workload, clusterOf(service, population)),
    seeCluster,
    ask(workload, service) {
      const [id, pod] = [asked.size + 1, podRef(workload, 0, uids)];
      const authority = hostOf(service, population);
      const call = { tcp: false, authority, destination: '10.0.0.1:8080' };
      const answer = new Promise<Answer>((resolve) => asked.set(id, resolve));
      nodeFor(workload)?.write({ question: { id, ...pod, call } });
      return answer;
    },
    stop() {
      for (const { client, relay, stop } of streams) {
        stop();
        client.close();
        relay.stop();
      }
    },
  };
}

function reportOf(
  workload: number,
  pod: number,
  population: Population,
  uids: Map<string, string>,
): ProxyReport {
  return {
    ...podRef(workload, pod, uids),
    filterVersion: '0.1.0',
    edges: destinationsOf(workload, population).map((service, i) => ({
      cluster: clusterOf(service, population),
      secondsSinceSeen: i,
    })),
    stats: { allocatedBytes: 12e6, physicalBytes: 20e6, clusters: 25 },
    overflow: 0,
    secondsSinceHeartbeat: 1,
  };
}

/** One loopback address per node: the controller limits the connection rate of an address. */
const addressOf = (node: number) => `127.1.${Math.floor(node / 250)}.${(node % 250) + 1}`;

/** Chosen from the whole mesh, so that scopes differ. */
function destinationsOf(workload: number, { services, destinations }: Population) {
  return (
    destinations?.(workload) ??
    Array.from({ length: destinationsPerWorkload }, (_, i) => (workload * 7 + i * 101) % services)
  );
}

function podsByNode(population: Population): { workload: number; pod: number }[][] {
  const homes = Array.from({ length: nodesOf(population) }, () => [] as ReturnType<typeof podAt>[]);
  for (let workload = 0; workload < population.workloads; workload++)
    for (let pod = 0; pod < podsPerWorkload(population); pod++)
      homes[nodeOf(workload, pod, population)]?.push(podAt(workload, pod));
  return homes;
}

const podAt = (workload: number, pod: number) => ({ workload, pod });

function podRef(workload: number, pod: number, uids: Map<string, string>) {
  const [name, namespace] = [podName(workload, pod), namespaceOf(workload)];
  return { namespace, pod: name, podUid: uids.get(`${namespace}/${name}`) ?? '' };
}

const hostOf = (service: number, population: Population) =>
  clusterOf(service, population).split('|').at(-1) ?? '';

async function podUids(api: ApiServer): Promise<Map<string, string>> {
  const { items } = await api.call<{ items: Pod[] }>('GET', '/api/v1/pods');
  return new Map(items.map(({ metadata: m }) => [`${m.namespace}/${m.name}`, m.uid]));
}

/** A token of the node companion of a node, as the kubelet projects it. */
export async function nodeToken(api: ApiServer, node: string): Promise<string> {
  // The object exists when the nodes connect a second time.
  await api.call('POST', '/api/v1/nodes', { metadata: { name: node } }).catch(() => undefined);
  return tokenOf(
    api,
    { namespace, name: 'lazyscope-node' },
    { audience: 'lazyscope', boundTo: { kind: 'Node', name: node } },
  );
}
