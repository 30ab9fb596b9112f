import { logLevels } from './log.ts';
import {
  address,
  choice,
  dnsName,
  names,
  path,
  port,
  ports,
  type ValuesOf,
  wholeNumber,
} from './settings.ts';

/** Settings of all roles. */
const common = {
  namespace: dnsName({
    about: 'the namespace that Lazyscope itself runs in',
    fallback: 'lazyscope-system',
  }),
  clusterDomain: dnsName({ about: 'the DNS domain of the cluster', fallback: 'cluster.local' }),
  kubeconfig: path({
    about: 'a kubeconfig file to use instead of the service account of the pod',
    fallback: '',
  }),
  serviceAccountPath: path({
    about: 'the folder of the service account of the pod, with token and ca.crt',
    fallback: '/var/run/secrets/kubernetes.io/serviceaccount',
  }),
  logLevel: choice(logLevels, { about: 'the lowest level to log', fallback: 'info' }),
  adminPort: port({ about: 'the port of /livez, /readyz, /metrics and /debug', fallback: '9472' }),
  stopSeconds: wholeNumber({
    about: 'the time for an orderly stop, after which the process exits anyway',
    fallback: '20',
    min: 1,
    max: 300,
    unit: 'seconds',
  }),
};

export const nodeSettings = {
  ...common,
  nodeName: dnsName({ about: 'the name of the Kubernetes node this companion serves' }),
  port: port({ about: 'the port of reports, questions and held requests', fallback: '9470' }),
  accessLogPort: port({ about: 'the gRPC port of access logs', fallback: '9475' }),
  controllerService: dnsName({
    about: 'the headless Service of the controllers; each address gets a stream',
    fallback: 'lazyscope-controller.lazyscope-system.svc',
  }),
  controllerGrpcPort: port({ about: 'the gRPC port of the controllers', fallback: '9471' }),
  tokenPath: path({
    about: 'the projected service account token with audience lazyscope',
    fallback: '/var/run/secrets/lazyscope/token',
  }),
  caPath: path({
    about: 'a file with the CA of the controllers, instead of ConfigMap lazyscope-ca',
    fallback: '',
  }),
  scrapeSeconds: wholeNumber({
    about: 'the time between two readings of the memory of a proxy, four times this if steady',
    fallback: '15',
    min: 1,
    max: 3600,
    unit: 'seconds',
  }),
  answerMilliseconds: wholeNumber({
    about: 'how long a question waits for a controller; the filter waits 200 ms in all',
    fallback: '150',
    min: 10,
    max: 2000,
    unit: 'milliseconds',
  }),
  settleMilliseconds: wholeNumber({
    about: 'how long after its write a scope counts as live (istiod waits 100 ms)',
    fallback: '150',
    min: 0,
    max: 10_000,
    unit: 'milliseconds',
  }),
  holdMilliseconds: wholeNumber({
    about: 'the longest time of one round of a held request',
    fallback: '1000',
    min: 50,
    max: 30_000,
    unit: 'milliseconds',
  }),
  podName: path({ about: 'the name of this pod, which owns its NodeFeature', fallback: '' }),
  podUid: path({
    about: 'the uid of this pod; without name and uid no NodeFeature is written',
    fallback: '',
  }),
  featureFile: path({
    about: 'a file that Node Feature Discovery turns into labels; empty: no file',
    fallback: '',
  }),
};

export const controllerSettings = {
  ...common,
  podName: dnsName({ about: 'the name of this pod, its identity in the election' }),
  grpcPort: port({ about: 'the port that node companions connect to', fallback: '9471' }),
  filterPort: port({ about: 'the port that serves the Wasm filter', fallback: '9473' }),
  consolePort: port({ about: 'the port of the page and its API', fallback: '9474' }),
  consolePath: path({ about: 'the folder of the bundled page', fallback: 'build/companion/page' }),
  prometheusUrl: address({
    about: 'a Prometheus from which the page reads times before the history; empty: none',
    fallback: '',
  }),
  kialiUrl: address({
    about: 'the address of Kiali in a browser, to which the page has links; empty: none',
    fallback: '',
  }),
  wasmPath: path({ about: 'the Wasm filter to serve', fallback: 'build/filter.wasm' }),
  previousFiltersPath: path({
    about: 'a folder with the filters of previous releases, for namespaces that pin one',
    fallback: 'wasm-filter/previous',
  }),
  gatewayHost: dnsName({
    about: 'the host of the lazy egress gateway',
    fallback: 'lazyscope-egress.lazyscope-system.svc.cluster.local',
  }),
  trustDomain: dnsName({ about: 'the trust domain of the mesh', fallback: 'cluster.local' }),
  rootNamespace: dnsName({ about: 'the root namespace of Istio', fallback: 'istio-system' }),
  revisions: names({
    about: 'the revisions of istiod, besides the default, whose mesh configuration is read',
    fallback: '',
    most: 8,
  }),
  firstCall: choice(['gateway', 'direct', 'hold', 'passthrough', 'auto'], {
    about: 'the strategy for a first call if neither its namespace nor its scope sets one',
    fallback: 'gateway',
  }),
  writesPerSecond: wholeNumber({
    about: 'the highest rate of writing scopes, over all workloads',
    fallback: '20',
    min: 1,
    max: 1000,
    unit: 'writes per second',
  }),
  leaseSeconds: wholeNumber({
    about: 'how long a leader is trusted without renewing its Lease',
    fallback: '15',
    min: 5,
    max: 120,
    unit: 'seconds',
  }),
  ttlSeconds: wholeNumber({
    about: 'how long an unused destination stays in a scope',
    fallback: '259200',
    min: 10,
    max: 31_536_000,
    unit: 'seconds',
  }),
  learningWindowSeconds: wholeNumber({
    about: 'how long a workload is observed before it may be narrowed',
    fallback: '86400',
    min: 0,
    max: 2_592_000,
    unit: 'seconds',
  }),
  silenceSeconds: wholeNumber({
    about: 'how long proxies may be silent before their workload gets full configuration back',
    // Kubernetes deletes the pods of a lost node after 350 s at most, so they no longer count by
    // then.
    fallback: '420',
    // A filter reports every 30 s, and its node companion forwards the report every 30 s.
    min: 61,
    max: 86_400,
    unit: 'seconds',
  }),
  withdrawWorkloads: wholeNumber({
    about: 'the most workloads that get full configuration back for silence within a minute',
    fallback: '2',
    min: 1,
    max: 1_000,
    unit: 'workloads per minute',
  }),
  withdrawMegabytes: wholeNumber({
    about: 'the most memory that proxies gain by it within a minute; one workload always may',
    fallback: '2048',
    min: 1,
    max: 1_000_000,
    unit: 'MB per minute',
  }),
  shrinkPercent: wholeNumber({
    about: 'the share of the destinations of a workload that may expire within an hour',
    fallback: '25',
    min: 1,
    max: 100,
    unit: 'percent',
  }),
  shrinkCount: wholeNumber({
    about: 'how many destinations of a workload may expire within an hour',
    fallback: '20',
    min: 1,
    max: 2_000,
    unit: 'destinations',
  }),
};

/**
 * The bypass is a separate role, because a process that accepts requests from pods must not have
 * its kernel capabilities.
 */
export const bypassSettings = {
  ...common,
  nodeName: dnsName({ about: 'the name of the Kubernetes node whose sockets the bypass joins' }),
  loader: path({
    about: 'the program that loads the bypass into the kernel',
    fallback: '/app/bypass/lazyscope-bypass',
  }),
  cgroups: path({
    about: 'the path of the cgroups of the node, mounted for reading',
    fallback: '/sys/fs/cgroup',
  }),
  featureFile: path({
    about: 'a file that Node Feature Discovery turns into labels; empty: no file',
    fallback: '',
  }),
  excludePorts: ports({
    about: 'ports whose connections stay on the TCP stack',
    fallback: '',
    most: 200,
  }),
  unreadKilobytes: wholeNumber({
    about:
      'the limit of redirected, unread data in one direction; above it, the TCP stack takes over',
    fallback: '4096',
    min: 64,
    max: 1_048_576,
    unit: 'KiB',
  }),
};

export type BypassConfig = ValuesOf<typeof bypassSettings>;
export type NodeConfig = ValuesOf<typeof nodeSettings>;
export type ControllerConfig = ValuesOf<typeof controllerSettings>;
