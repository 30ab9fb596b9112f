import { Command, CommanderError, type Help, Option } from 'commander';
import type { Access, Cluster } from './frame/cluster.ts';
import { CommandError, type ExitCode, exitCodes } from './frame/failure.ts';
import { formats, type Output, show } from './frame/output.ts';
import type { Globals, Session, Verb } from './frame/verb.ts';
import { adviseVerb } from './verbs/advise.ts';
import { callersVerb } from './verbs/callers.ts';
import { checkVerb } from './verbs/check.ts';
import { completionVerbs } from './verbs/completion.ts';
import { dashboardVerb } from './verbs/dashboard.ts';
import { doctorVerb } from './verbs/doctor.ts';
import { explainVerb } from './verbs/explain.ts';
import { exportVerb } from './verbs/export.ts';
import { intentVerbs } from './verbs/intent.ts';
import { nodesVerb } from './verbs/nodes.ts';
import { recommendVerb } from './verbs/recommend.ts';
import { statusVerb } from './verbs/status.ts';
import { topVerb } from './verbs/top.ts';
import { versionVerb } from './verbs/version.ts';

/** What the command needs of its surroundings. */
export type Host = {
  /** How the user calls it: `lazyscope` or `kubectl lazyscope`. */
  program: string;
  out: Output;
  connect(access: Access): Promise<Cluster>;
  now(): number;
  interrupted(): Promise<void>;
};

const verbs: readonly Verb[] = [
  statusVerb,
  topVerb,
  explainVerb,
  callersVerb,
  nodesVerb,
  checkVerb,
  doctorVerb,
  ...intentVerbs,
  exportVerb,
  recommendVerb,
  adviseVerb,
  dashboardVerb,
  versionVerb,
  ...completionVerbs,
];

/** Runs one command line, without the names of node and program; never throws. */
export async function run(args: readonly string[], host: Host): Promise<ExitCode> {
  let code: ExitCode = exitCodes.ok;
  const program = programOf(host, (found) => {
    code = found;
  });
  try {
    await program.parseAsync(args, { from: 'user' });
    return code;
  } catch (error) {
    return fail(error, host.out);
  }
}

function fail(error: unknown, out: Output): ExitCode {
  // Commander has printed its help or its error.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  out.warn(`${out.paint('error:', 'bad')} ${(error as Error).message}\n`);
  if (!(error instanceof CommandError)) return exitCodes.error;
  out.warn(`remedy: ${error.remedy}\n`);
  return error.code;
}

/** The tree of verbs, with help and options. */
export function programOf(host: Host, onCode: (code: ExitCode) => void): Command {
  const program = new Command(host.program)
    .description('See what Lazyscope does to a mesh, ask why, and decide.')
    .addOption(new Option('-n, --namespace <name>', 'namespace; default: that of the context'))
    .addOption(new Option('-A, --all-namespaces', 'all namespaces').conflicts('namespace'))
    .option('--context <name>', 'context of the kubeconfig')
    .option('--kubeconfig <file>', 'kubeconfig file; default: KUBECONFIG, then ~/.kube/config')
    .addOption(
      new Option('-o, --output <format>', 'form of the output').choices(formats).default('table'),
    )
    .helpOption('-h, --help', 'this help')
    .helpCommand(false)
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false } satisfies Partial<Help>)
    .configureOutput({
      writeOut: host.out.write,
      writeErr: host.out.warn,
      outputError: (text, write) => write(text),
    })
    .showHelpAfterError(`remedy: ${host.program} --help lists verbs and options`)
    .exitOverride();
  for (const verb of verbs) addVerb(program, verb, host, onCode);
  return program;
}

function addVerb(program: Command, verb: Verb, host: Host, onCode: (code: ExitCode) => void): void {
  const command = program.command(verb.usage, verb.hidden ? { hidden: true } : {});
  command.description(verb.about).helpOption('-h, --help', 'this help');
  verb.arguments?.forEach((argument) => {
    command.addArgument(argument);
  });
  verb.options?.forEach((option) => {
    command.addOption(option);
  });
  if (verb.example) {
    const lines = verb.example.map((line) => `  ${line.replace(/^lazyscope/, host.program)}\n`);
    command.addHelpText('after', `\nExample:\n${lines.join('')}`.trimEnd());
  }
  command.action(async (...given: unknown[]) => {
    const values = given.slice(0, -2) as (string | string[] | undefined)[];
    const options = command.optsWithGlobals<Globals & Record<string, unknown>>();
    let cluster: Cluster | undefined;
    const session: Session = {
      options,
      program,
      out: host.out,
      now: host.now,
      interrupted: host.interrupted,
      async cluster() {
        cluster ??= await host.connect(options);
        return cluster;
      },
      show: (result) => show(host.out, options.output, result),
    };
    try {
      onCode((await verb.run(session, ...values)) ?? exitCodes.ok);
    } finally {
      cluster?.close();
    }
  });
}
