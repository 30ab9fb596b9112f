import type { Argument, Command, Option } from 'commander';
import type { Cluster } from './cluster.ts';
import { CommandError, type ExitCode } from './failure.ts';
import type { Format, Output, Result } from './output.ts';

/** Options that every verb takes. */
export type Globals = {
  namespace?: string;
  allNamespaces?: boolean;
  context?: string;
  kubeconfig?: string;
  output: Format;
};

/** One command line that is being run. */
export type Session = {
  options: Globals & Record<string, unknown>;
  program: Command;
  out: Output;
  /** Milliseconds since the epoch. */
  now(): number;
  /** Connects at the first call. */
  cluster(): Promise<Cluster>;
  show(result: Result): void;
  /** Ends when the user interrupts the command (Ctrl-C), or the process is asked to end. */
  interrupted(): Promise<void>;
};

/** A verb of the command: what it is called with, and what it does. */
export type Verb = {
  /** Its name. */
  usage: string;
  about: string;
  /** Command lines that start with `lazyscope`; required unless hidden. */
  example?: readonly string[];
  arguments?: readonly Argument[];
  options?: readonly Option[];
  hidden?: true;
  /** Returns an exit code other than 0; throws a CommandError. */
  run(
    session: Session,
    // biome-ignore lint/suspicious/noExplicitAny: commander hands over strings, or lists of them.
    ...values: any[]
  ): Promise<ExitCode | undefined> | ExitCode | undefined;
};

/** The namespace to look at; undefined: all. */
export async function namespaceOf({ options, cluster }: Session): Promise<string | undefined> {
  if (options.allNamespaces) return undefined;
  return options.namespace ?? (await cluster()).namespace;
}

/**
 * For a verb that found nothing in a namespace: throws if there is no such namespace, which is most
 * often a typing error. A user who may not ask is not told.
 */
export async function requireNamespace(
  { cluster }: Session,
  namespace: string | undefined,
): Promise<void> {
  if (namespace === undefined) return;
  const namespaces = { group: '', version: 'v1', plural: 'namespaces' };
  const { get } = await cluster();
  const isThere = await get(namespaces, namespace).catch((error: unknown) => {
    if (!(error instanceof CommandError)) throw error;
    return true;
  });
  if (!isThere) throw noNamespace(namespace);
}

export function noNamespace(namespace: string): CommandError {
  const remedy = 'kubectl get namespaces lists those that are there';
  return new CommandError(`namespace ${namespace}: there is none`, remedy);
}
