import { join } from 'node:path';
import { Argument, Option } from 'commander';
import { counted } from '../../companion/core/mesh/counted.ts';
import { durationMs } from '../../companion/core/scope/expiry.ts';
import { createLineReader, type ReadLine } from '../core/access-log.ts';
import { someOf } from '../core/finding.ts';
import { type MetricSightings, sightingsIn } from '../core/istio-metrics.ts';
import { readerOfFormat } from '../core/log-format.ts';
import { emptyTally, type Tally, tallyInto } from '../core/log-tally.ts';
import { CommandError, exitCodes } from '../frame/failure.ts';
import { eachLine, writeIfChanged } from '../frame/files.ts';
import { following, followSidecars } from '../frame/follow.ts';
import { readWholeMesh } from '../frame/mesh.ts';
import { prometheusOptions, readPrometheus } from '../frame/prometheus-options.ts';
import { namespaceOf, requireNamespace, type Session, type Verb } from '../frame/verb.ts';
import { type Recommendation, recommend } from '../mesh/recommend.ts';

export const recommendVerb: Verb = {
  usage: 'recommend',
  about:
    'a Sidecar for each workload from access logs, Prometheus or learned scopes, for review; works without Lazyscope',
  example: [
    'kubectl logs -n shop -l app=web -c istio-proxy --prefix | lazyscope recommend - -n shop',
    'lazyscope recommend --prometheus https://prometheus.example.com --range 30d -n shop',
    'lazyscope recommend --follow --for 1h -n shop',
    'lazyscope recommend web.log.gz --workload web -n shop --write sidecars',
  ],
  arguments: [new Argument('[file...]', 'access logs, also .gz; - is standard input')],
  options: [
    new Option('--workload <name>', 'whose logs these are, for lines that name no pod'),
    new Option('--log-format <format>', 'accessLogFormat of the mesh; default: that of Istio'),
    ...prometheusOptions,
    new Option(
      '--follow',
      'read the logs of the sidecars, or standard input for -, as they grow, until Ctrl-C',
    ),
    new Option('--for <duration>', 'how long to follow, for example 30m'),
    new Option('--learned', 'include what the WorkloadScopes have learned'),
    new Option('--write <folder>', 'write a file for each workload; those that are the same stay'),
  ],
  async run(session, files: string[]) {
    const { options, out } = session;
    const read = readerOf(options.logFormat as string | undefined);
    const address = options.prometheus as string | undefined;
    const learned = options.learned === true;
    const follows = followOf(options, files);
    const hasLogs = files.length > 0 || follows !== undefined;
    if (!hasLogs && address === undefined && !learned) {
      const remedy =
        'give access logs, --follow, --prometheus ADDRESS, or --learned, or several of them';
      throw new CommandError('recommend: there is no source of calls', remedy, exitCodes.usage);
    }
    // Also before it follows, so that a missing right is known at once.
    const before = await readWholeMesh(session);
    const tally = await tallyOf(session, read, { files, follows });
    const mesh = follows ? await readWholeMesh(session) : before;
    const metrics = address === undefined ? undefined : await metricsOf(session);
    const sources = [...(hasLogs ? [tally] : []), ...(metrics ? [metrics] : [])];
    const namespace = await namespaceOf(session);
    const { recommendations, strangers } = recommend(mesh, sources, learned, namespace);
    const told = [
      ...(hasLogs ? tallyLines(tally) : []),
      ...(metrics ? metricsLines(metrics) : []),
      ...strangerLines(strangers),
    ];
    for (const line of told) out.warn(`${line}\n`);
    if (recommendations.length === 0) await requireNamespace(session, namespace);
    if (recommendations.length === 0) throw nothingFound(hasLogs, metrics !== undefined);
    const folder = options.write as string | undefined;
    if (folder === undefined) {
      const yaml = recommendations.map((each) => each.yaml).join('---\n');
      const data = { ...summaryOf(tally), ...(metrics && countsOf(metrics)), recommendations };
      session.show({ data, text: () => yaml });
    } else await writeAll(session, folder, recommendations);
    return undefined;
  },
};

function nothingFound(hasLogs: boolean, hasMetrics: boolean): CommandError {
  const [what, remedy] = hasLogs
    ? [
        'in these logs',
        'give outbound logs of sidecars: lines with upstream cluster outbound|..., and whose they are (--prefix, --workload, -n)',
      ]
    : hasMetrics
      ? [
          'in Prometheus',
          'check -n, --range and --prometheus-match, and that istio_requests_total with reporter="source" is there',
        ]
      : ['in the WorkloadScopes', 'lazyscope status shows which have learned; give another source'];
  return new CommandError(`no call of a workload is ${what}`, remedy, exitCodes.data);
}

async function tallyOf(
  session: Session,
  read: ReadLine,
  { files, follows }: { files: readonly string[]; follows: { forMs?: number } | undefined },
) {
  const { options } = session;
  const namespace = options.namespace ?? (await namespaceOf(session)) ?? '';
  const caller = options.workload as string | undefined;
  const tally = emptyTally();
  const from = (file: string) =>
    tallyInto(tally, read, {
      name: file === '-' ? 'standard input' : file,
      ...{ caller, namespace },
    });
  if (!follows) for (const file of files) await eachLine(file, from(file));
  else {
    await following(session, follows, tally, (until) =>
      files.length > 0
        ? eachLine('-', from('-'), until)
        : followSidecars(session, { read, tally, until }),
    );
  }
  return tally;
}

/** Undefined without `--follow`. */
function followOf(
  { follow, for: text }: Session['options'],
  files: readonly string[],
): { forMs?: number } | undefined {
  const wrong = (what: string, remedy: string) =>
    new CommandError(`recommend: ${what}`, remedy, exitCodes.usage);
  if (follow !== true) {
    if (text === undefined) return undefined;
    throw wrong('--for without --follow', 'add --follow');
  }
  if (files.some((file) => file !== '-') || files.length > 1)
    throw wrong('--follow reads no files', 'give no file, or - for standard input');
  if (text === undefined) return {};
  const forMs = durationMs(text);
  if (!forMs) throw wrong(`--for ${text}: no duration`, 'write it as 90s, 30m or 1h30m');
  return { forMs };
}

async function metricsOf(session: Session): Promise<MetricSightings> {
  const { ask, rangeMs, matchers } = readPrometheus(session);
  const namespace = await namespaceOf(session);
  return sightingsIn(ask, { rangeMs, namespace, matchers });
}

function readerOf(format: string | undefined): ReadLine {
  if (format === undefined) return createLineReader();
  try {
    const own = readerOfFormat(format);
    return createLineReader(format.trim().startsWith('{') ? { json: own } : { text: own });
  } catch (error) {
    const remedy = 'give accessLogFormat as it is in the mesh configuration';
    throw new CommandError(
      `--log-format ${format}: ${(error as Error).message}`,
      remedy,
      exitCodes.usage,
    );
  }
}

function summaryOf({ byCaller: _, source: __, pairs: ___, firstBroken, ...counts }: Tally) {
  return { read: counts, firstBroken };
}

function countsOf({ byCaller, source: _, ...counts }: MetricSightings) {
  return { metrics: { callers: byCaller.size, ...counts } };
}

function tallyLines(tally: Tally): string[] {
  const { lines, calls, others, unknown, broken, firstBroken, nameless, overflow } = tally;
  return [
    `read ${counted(lines, 'line')}: ${counted(calls, 'call')} to hosts of the mesh, ${unknown} to others, ${counted(others, 'other line')}, ${broken} broken`,
    ...firstBroken.map((each) => `broken: ${each}`),
    ...(nameless > 0
      ? [`${counted(nameless, 'call')} left out: the line names no pod (--prefix, --workload)`]
      : []),
    ...(overflow > 0 ? [`${counted(overflow, 'call')} left out: too many pods and hosts`] : []),
  ];
}

function metricsLines({ byCaller, unknown, nameless }: MetricSightings): string[] {
  const pairs = [...byCaller.values()].reduce((sum, { size }) => sum + size, 0);
  return [
    `Prometheus has ${counted(byCaller.size, 'caller')} with ${counted(pairs, 'destination')}, and ${counted(unknown, 'call')} to hosts that Istio does not know`,
    ...(nameless > 0
      ? [`${counted(nameless, 'call')} left out: the metric names no source workload`]
      : []),
  ];
}

function strangerLines(strangers: readonly string[]): string[] {
  if (strangers.length === 0) return [];
  return [`no workload of the cluster with a sidecar: ${someOf(strangers)}`];
}

async function writeAll(
  session: Session,
  folder: string,
  recommendations: readonly Recommendation[],
): Promise<void> {
  const written: { file: string; result: string }[] = [];
  for (const { namespace, name, yaml } of recommendations) {
    const file = join(folder, namespace, `${name}.yaml`);
    written.push({ file, result: await writeIfChanged(file, yaml) });
  }
  session.show({
    data: { written },
    text: () => written.map(({ file, result }) => `${result} ${file}\n`).join(''),
  });
}
