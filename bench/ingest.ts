import type { BenchOptions } from './bench.ts';
import { ingestController } from './ingest-controller.ts';
import { ingestNode } from './ingest-node.ts';
import type { Row } from './result.ts';

/** Throughput and memory of the companion: the node role, then the controller. */
export async function ingest(options: BenchOptions): Promise<Row[]> {
  return [...(await ingestNode(options)), ...(await ingestController(options))];
}
