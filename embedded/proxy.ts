import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { KeyPair } from '../companion/controller/nodes/x509.ts';
import { bootstrap } from './bootstrap.ts';
import { type SecretFiles, secretResources } from './clusters.ts';
import {
  EnvoyError,
  type EnvoyProcess,
  listenerPorts,
  startEnvoyProcess,
} from './envoy-process.ts';
import type { Reaper } from './reaper.ts';
import type { Json } from './shipped-patches.ts';
import type { Configuration } from './sidecar-config.ts';
import { createXdsFiles, type XdsFiles } from './xds-files.ts';

/** An Envoy with the files that it watches: a sidecar or the gateway. */
export type EnvoyProxy = {
  name: string;
  files: XdsFiles;
  secrets: SecretFiles;
  /** The current process; throws before the first start. */
  envoy(): EnvoyProcess;
  /** The port that the kernel gave to a listener. */
  listenerPort(name: string): number;
  /** Sets the configuration; with a running Envoy, resolves when it is in force. */
  configure(configuration: Configuration): Promise<void>;
  /** Starts or restarts Envoy with the configuration that was pushed last. */
  start(): Promise<void>;
  stop(): Promise<void>;
};

export type ProxyOptions = {
  name: string;
  node: { id: string; cluster: string };
  keys: KeyPair;
  ca: string;
  reaper: Reaper;
  /** The process ended unexpectedly. */
  onEnd(error: Error): void;
};

/** The number that Istio gives to sidecars on two cores. */
const concurrency = 2;

export async function createProxy(options: ProxyOptions): Promise<EnvoyProxy> {
  const { name, reaper } = options;
  const folder = join(reaper.folder, name);
  const files = await createXdsFiles(folder);
  const secrets = await writeSecrets(folder, options);
  let envoy: EnvoyProcess | undefined;
  let ports = new Map<string, number>();

  async function stop(): Promise<void> {
    files.detach();
    await envoy?.stop();
  }

  function running(): EnvoyProcess {
    if (!envoy) throw new Error(`Envoy ${name} was not started yet`);
    return envoy;
  }

  return {
    name,
    files,
    secrets,
    envoy: running,
    listenerPort(listener) {
      const port = ports.get(listener);
      if (port === undefined) throw new Error(`Envoy ${name} has no listener ${listener}`);
      return port;
    },
    configure: files.push,
    async start() {
      await stop();
      const started = await startEnvoyProcess({
        name,
        bootstrap: bootstrap(options.node, files),
        folder,
        concurrency,
        reaper,
      });
      envoy = started;
      void started.ended.then((how) => options.onEnd(new EnvoyError(name, how, started.log())));
      await files.attach(started);
      ports = await listenerPorts(started);
    },
    stop,
  };
}

async function writeSecrets(folder: string, { keys, ca }: ProxyOptions): Promise<SecretFiles> {
  await mkdir(folder, { recursive: true });
  const resources = secretResources(keys, ca);
  const write = async (file: string, resource: Json) => {
    const path = join(folder, file);
    const text = JSON.stringify({ version_info: '1', resources: [resource] });
    await writeFile(`${path}.new`, text, { mode: 0o600 });
    await rename(`${path}.new`, path);
    return path;
  };
  return {
    certificate: await write('certificate.json', resources.certificate),
    ca: await write('ca.json', resources.ca),
  };
}
