import { accessLogEnvoy } from './access-log-envoy.ts';
import { accessLogNode } from './access-log-node.ts';
import type { BenchOptions } from './bench.ts';
import type { Row } from './result.ts';

/** What learning from access logs costs: in Envoy for a request, then in the node companion. */
export async function accessLog(options: BenchOptions): Promise<Row[]> {
  return [...(await accessLogEnvoy(options)), ...(await accessLogNode(options))];
}
