import { setTimeout as sleep } from 'node:timers/promises';
import { type ApiServer, startApiServer } from '../box/api/api-server.ts';
import { type CompanionProcess, startCompanionProcess } from '../box/api/companion-process.ts';
import { freePort } from '../box/api/free-port.ts';
import { makeCertificate, startFakeController } from '../box/played/fake-controller.ts';
import type { BenchOptions } from './bench.ts';

const namespace = 'shop';
const nodeName = 'worker-1';

/** The address of a pod, counted from 0. */
export const addressOf = (pod: number) => `127.0.1.${pod + 1}`;

export type LoneNode = CompanionProcess & { port: number; accessLogPort: number };

/**
 * The node role over an API server with pods that run at addresses of this machine. The controller
 * is played by this process, and so are the proxies.
 */
export async function startNodeAlone(
  say: BenchOptions['say'],
  pods: number,
  labels: Record<string, string> = {},
): Promise<{ node: LoneNode; stop(): Promise<void> }> {
  const certificate = await makeCertificate();
  const controller = await startFakeController(certificate);
  // Nothing reads the received messages, and keeping them would fill this process.
  controller.received.push = () => 0;
  const api = await startApiServer(say);
  await createPods(api, pods, labels);
  const [port, accessLogPort] = [await freePort(), await freePort()];
  const started = await startCompanionProcess('node', api, {
    port: String(port),
    'access-log-port': String(accessLogPort),
    'node-name': nodeName,
    'controller-service': '127.0.0.1',
    'controller-grpc-port': String(controller.port),
    'ca-path': certificate.caPath,
    'token-path': certificate.tokenPath,
    // There are no proxies behind the pods.
    'scrape-seconds': '3600',
  });
  while ((await started.metric('lazyscope_node_controller_streams')) < 1) await sleep(50);
  const stop = async () => {
    await started.stop();
    await controller.stop();
    await api.stop();
    await certificate.remove();
  };
  return { node: { ...started, port, accessLogPort }, stop };
}

async function createPods(
  api: ApiServer,
  pods: number,
  more: Record<string, string>,
): Promise<void> {
  const labels = { 'lazyscope.io/mode': 'observe', ...more };
  await api.call('POST', '/api/v1/namespaces', { metadata: { name: namespace, labels } });
  const path = `/api/v1/namespaces/${namespace}/pods`;
  for (let i = 0; i < pods; i++) {
    const containers = ['app', 'istio-proxy'].map((name) => ({ name, image: 'registry/none' }));
    const name = `pod-${i}`;
    await api.call('POST', path, { metadata: { name }, spec: { nodeName, containers } });
    const [ip, phase] = [addressOf(i), 'Running'];
    const status = { phase, podIP: ip, podIPs: [{ ip }] };
    await api.call('PATCH', `${path}/${name}/status`, { status });
  }
}
