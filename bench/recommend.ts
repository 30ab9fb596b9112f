import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLineReader } from '../command/core/access-log.ts';
import { emptyTally, tallyInto } from '../command/core/log-tally.ts';
import { eachLine } from '../command/frame/files.ts';
import type { Bench } from './bench.ts';
import { row } from './result.ts';

const lines = 1_000_000;
/** So many pods and hosts that each pair is seen 500 times. */
const [pods, hosts] = [200, 2_000];

/**
 * `lazyscope recommend` on a million lines of Istio's text format, behind the prefix of kubectl.
 * The peak memory is that of this process, with the loader of TypeScript.
 */
export const recommend: Bench = async () => {
  const folder = await mkdtemp(join(tmpdir(), 'lazyscope-bench-'));
  try {
    const file = join(folder, 'access.log');
    await writeLog(file);
    const tally = emptyTally();
    const source = { name: file, caller: undefined, namespace: 'shop' };
    const started = performance.now();
    await eachLine(file, tallyInto(tally, createLineReader(), source));
    const seconds = (performance.now() - started) / 1000;
    if (tally.calls !== lines) throw new Error(`${tally.calls} of ${lines} lines were read`);
    const peak = process.resourceUsage().maxRSS / 1024;
    return [
      row('a million lines', 'time', seconds, 's', { atMost: 20 }),
      row('a million lines', 'peak memory of the process', peak, 'MiB', { atMost: 300 }),
    ];
  } finally {
    await rm(folder, { recursive: true });
  }
};

async function writeLog(file: string): Promise<void> {
  const stream = createWriteStream(file);
  for (let first = 0; first < lines; first += 1_000) {
    const text = Array.from({ length: 1_000 }, (_, i) => lineOf(first + i)).join('');
    if (!stream.write(text)) await once(stream, 'drain');
  }
  stream.end();
  await once(stream, 'close');
}

function lineOf(index: number): string {
  const host = `service-${index % hosts}.shop.svc.cluster.local`;
  const at = new Date(Date.UTC(2026, 10, 27) + index * 80).toISOString();
  return `[pod/web-${index % pods}/istio-proxy] [${at}] "GET /items/${index}?page=3 HTTP/1.1" 200 - via_upstream - "-" 0 1234 3 2 "-" "Mozilla/5.0 (X11; Linux x86_64)" "6f2b2c1e-0000-4000-8000-${index}" "${host}" "10.244.0.2:8080" outbound|80||${host} 10.244.0.1:4000 10.96.0.2:80 10.244.0.1:5000 - default\n`;
}
