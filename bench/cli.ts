import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { repoDir } from '../box/paths.ts';
import { run } from '../box/run.ts';
import type { Bench } from './bench.ts';
import { describeMachine } from './machine.ts';
import { assertMeasured, missedAims, type Result, tableOf } from './result.ts';

/** A soak is left out of `all`, and its result is not kept. */
type Entry = { about: string; load(): Promise<Bench>; isSoak?: true };

/** Loaded one at a time: each is a separate program. */
const benches: Record<string, Entry> = {
  memory: {
    about: 'memory of a sidecar: full, scoped, scoped by hand; 100, 1,000, 5,000 services',
    load: async () => (await import('./memory.ts')).memory,
  },
  'first-call': {
    about: 'first calls by each strategy, against cold and warm ones with full configuration',
    load: async () => (await import('./first-call.ts')).firstCall,
  },
  keys: {
    about: 'first calls with certificates of RSA 2048 and of ECDSA P-256',
    load: async () => (await import('./keys.ts')).keyTypes,
  },
  activation: {
    about: 'from the first answer until a request uses the real cluster',
    load: async () => (await import('./activation.ts')).activation,
  },
  filter: {
    about: 'CPU per request of Envoy: no filter, a no-op Wasm filter, ours',
    load: async () => (await import('./filter.ts')).filter,
  },
  'access-log': {
    about: 'CPU per request of Envoy by each way to log calls; entries/s of a node companion',
    load: async () => (await import('./access-log.ts')).accessLog,
  },
  enable: {
    about: 'enabling a namespace of eight workloads: time, CPU of istiod, bytes pushed',
    load: async () => (await import('./enable.ts')).enable,
  },
  ingest: {
    about: 'node: observations/s and RSS; controller with 1,000 workloads, 5,000 services',
    load: async () => (await import('./ingest.ts')).ingest,
  },
  catalog: {
    about: 'a node companion with 5,000 services; 1,000 nodes that connect to two controllers',
    load: async () => (await import('./catalog.ts')).catalog,
  },
  scale: {
    about: 'controller with 1,000 nodes, 10,000 pods, 10,000 services under churn; restart',
    load: async () => (await import('./scale.ts')).scale,
  },
  life: {
    about: 'heap of a controller over an hour in which as much happens as in a day',
    load: async () => (await import('./life.ts')).life,
  },
  istiod: {
    about: 'bytes and CPU of istiod for the same churn, 200 proxies full and scoped',
    load: async () => (await import('./istiod.ts')).istiod,
  },
  gateway: {
    about: 'memory of the lazy egress gateway, with and without a setting of istiod',
    load: async () => (await import('./gateway.ts')).gateway,
  },
  recommend: {
    about: 'a million lines of access logs in the command: time and peak memory',
    load: async () => (await import('./recommend.ts')).recommend,
  },
  doctor: {
    about: 'lazyscope doctor over 5,000 Services and 2,000 pods: time of reading and checks',
    load: async () => (await import('./doctor.ts')).doctor,
  },
  console: {
    about: 'the page at 1,000 workloads: first paint, each view; its server with ten viewers',
    load: async () => (await import('./console.ts')).consolePage,
  },
  bypass: {
    about: 'the sockmap bypass on and off: bare sockets, and two sidecars with mTLS (needs wrk)',
    load: async () => (await import('./bypass.ts')).bypass,
  },
  'bypass-soak': {
    about: 'an hour of mixed load over the bypass with kills and switches (--minutes)',
    load: async () => (await import('./bypass-soak.ts')).bypassSoak,
    isSoak: true,
  },
};

const list = Object.entries(benches)
  .map(([name, { about }]) => `  ${name.padEnd(12)}${about}`)
  .join('\n');

const help = `Usage: npm run -s bench -- NAME... [--json] [--quick]

${list}
  all         every benchmark in turn, without the soak

  --json   print only {name, machine, rows}, one line for each benchmark
  --quick  fewer repetitions and sizes; the result is not kept
  --minutes N  how long a soak takes (60)

Results are kept in bench/results/NAME.json. Benchmarks that need a cluster run as root. They start the
mesh of \`npm run -s mesh\`; with MESH=keep they use the mesh that is up.
Exit status: 0 when all aims are met, 1 when one is missed, 2 when a benchmark could not run, 64 for
a wrong command line.
`;

const status = { missed: 1, failed: 2, usage: 64 };

async function measure(
  name: string,
  { quick, minutes }: Pick<CommandLine, 'quick' | 'minutes'>,
): Promise<Result> {
  const entry = benches[name];
  if (!entry) throw new Error(`no benchmark '${name}'`);
  const started = Date.now();
  const say = (line: string) =>
    console.error(`${((Date.now() - started) / 1000).toFixed(0).padStart(5)} s  ${name}: ${line}`);
  const bench = await entry.load();
  const rows = await bench({ quick, minutes, say });
  const result = { name, machine: await describeMachine(), rows };
  assertMeasured(result);
  return result;
}

async function keep(result: Result): Promise<void> {
  const folder = fileURLToPath(new URL('results/', import.meta.url));
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, `${result.name}.json`), `${JSON.stringify(result, null, 2)}\n`);
}

type CommandLine = {
  names: string[];
  json: boolean;
  quick: boolean;
  help: boolean;
  minutes: number | undefined;
};

function readCommandLine(args: string[]): CommandLine {
  const flag = { type: 'boolean', default: false } as const;
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { json: flag, quick: flag, help: flag, minutes: { type: 'string' } },
  });
  const names = positionals.includes('all')
    ? Object.keys(benches).filter((name) => !benches[name]?.isSoak)
    : positionals;
  const { minutes } = values;
  if (minutes !== undefined && !/^[1-9]\d{0,3}$/.test(minutes)) {
    throw new Error(`--minutes ${minutes}: not a number from 1 to 9999`);
  }
  const wrong = names.filter((name) => !(name in benches));
  if (wrong.length > 0) throw new Error(`no benchmark '${wrong.join("', '")}'`);
  if (names.length === 0 && !values.help) throw new Error('name a benchmark');
  return { names, ...values, minutes: minutes === undefined ? undefined : Number(minutes) };
}

async function runAll({ names, json, quick, minutes }: CommandLine): Promise<number> {
  await run('npm', ['run', '-s', 'build'], { cwd: repoDir });
  let code = 0;
  for (const name of names) {
    try {
      const result = await measure(name, { quick, minutes });
      if (!quick && !benches[name]?.isSoak) await keep(result);
      console.log(json ? JSON.stringify(result) : `${tableOf(result)}\n`);
      if (missedAims(result).length > 0) code ||= status.missed;
    } catch (error) {
      console.error(`bench: ${name} could not run: ${(error as Error).message}`);
      code = status.failed;
    }
  }
  return code;
}

async function main(args: string[]): Promise<number> {
  let line: CommandLine;
  try {
    line = readCommandLine(args);
  } catch (error) {
    console.error(`bench: ${(error as Error).message}\n\n${help}`);
    return status.usage;
  }
  if (!line.help) return runAll(line);
  console.log(help);
  return 0;
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: Error) => {
    console.error(`bench: ${error.message}`);
    process.exit(status.failed);
  },
);
