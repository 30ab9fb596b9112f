import { parseArgs } from 'node:util';
import { z } from 'zod';
import { ConfigError, type ConfigProblem } from './errors.ts';

/**
 * One setting. The variable and the flag follow from its key: `grpcPort` is `LAZYSCOPE_GRPC_PORT`
 * and `--grpc-port`; the flag wins.
 */
export type Setting<Value> = {
  schema: z.ZodType<Value>;
  /** In the form in which a user writes it; absent means that the setting is required. */
  fallback?: string;
  unit: string;
  bounds: string;
  about: string;
  secret?: boolean;
};

// biome-ignore lint/suspicious/noExplicitAny: the value type is inferred for each table of settings.
export type Settings = Record<string, Setting<any>>;

export type ValuesOf<Table extends Settings> = {
  readonly [Key in keyof Table]: Table[Key] extends Setting<infer Value> ? Value : never;
};

type Described = { about: string; fallback?: string };

export function wholeNumber(
  options: Described & { min: number; max: number; unit: string },
): Setting<number> {
  const { min, max, unit, ...described } = options;
  const schema = z
    .string()
    .regex(/^\d{1,15}$/, 'not a whole number')
    .transform(Number)
    .pipe(z.number().min(min, 'too small').max(max, 'too large'));
  return { ...described, schema, unit, bounds: `${min} to ${max}` };
}

export function port(options: Described): Setting<number> {
  return wholeNumber({ ...options, min: 0, max: 65_535, unit: 'port' });
}

export function choice<const Value extends string>(
  values: readonly Value[],
  options: Described,
): Setting<Value> {
  return {
    ...options,
    schema: z.enum(values, 'not one of the choices'),
    unit: 'choice',
    bounds: values.join(' | '),
  };
}

/** A DNS-1123 name with dots, as Kubernetes accepts it for namespaces, nodes and services. */
export function dnsName(options: Described): Setting<string> {
  const label = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
  const schema = z
    .string()
    .max(253, 'too long')
    .regex(new RegExp(`^${label}(\\.${label})*$`), 'not a DNS name');
  return { ...options, schema, unit: 'name', bounds: 'DNS name, at most 253 characters' };
}

/** Strings of one pattern, separated by commas; empty means none. */
function list(pattern: string, what: string) {
  return z
    .string()
    .regex(new RegExp(`^(${pattern}(,${pattern})*)?$`), `not a list of ${what}`)
    .transform((text) => (text === '' ? [] : text.split(',')));
}

/** Port numbers, separated by commas; empty means none. */
export function ports(options: Described & { most: number }): Setting<readonly number[]> {
  const { most, ...described } = options;
  const schema = list('\\d{1,5}', 'ports')
    .transform((texts) => texts.map(Number))
    .pipe(
      z
        .array(z.number().min(1, 'not a port number').max(65_535, 'not a port number'))
        .max(most, 'too many'),
    );
  return {
    ...described,
    schema,
    unit: 'ports',
    bounds: `1 to 65535, at most ${most}, separated by commas`,
  };
}

/** DNS-1123 labels, separated by commas; empty means none. */
export function names(options: Described & { most: number }): Setting<readonly string[]> {
  const { most, ...described } = options;
  const label = '[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?';
  const schema = list(label, 'names').pipe(z.array(z.string()).max(most, 'too many'));
  return {
    ...described,
    schema,
    unit: 'names',
    bounds: `DNS labels, at most ${most}, separated by commas`,
  };
}

/** A file path; empty means that there is none. */
export function path(options: Described): Setting<string> {
  const schema = z
    .string()
    .max(4096, 'too long')
    .refine((value) => !value.includes('\0'), 'has a zero byte');
  return { ...options, schema, unit: 'path', bounds: 'at most 4096 characters' };
}

/** An address of http or https; empty means that there is none. Logs have it, so no password. */
export function address(options: Described): Setting<string> {
  const isAddress = (text: string) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    return /^https?:$/.test(url?.protocol ?? '') && !url?.username && !url?.password;
  };
  const schema = z
    .string()
    .max(2048, 'too long')
    .refine((text) => text === '' || isAddress(text), 'not an http or https URL without a password')
    .refine((text) => !/[?#]/.test(text), 'has a query or a fragment');
  return { ...options, schema, unit: 'URL', bounds: 'http or https, at most 2048 characters' };
}

export function variableOf(key: string): string {
  return `LAZYSCOPE_${key.replace(/[A-Z]/g, '_$&').toUpperCase()}`;
}

export function flagOf(key: string): string {
  return key.replace(/[A-Z]/g, '-$&').toLowerCase();
}

/** Reads every setting of the table and throws one ConfigError that lists all faults. */
export function readSettings<Table extends Settings>(
  table: Table,
  env: Record<string, string | undefined>,
  args: string[],
): ValuesOf<Table> {
  const problems: ConfigProblem[] = [];
  const flags = readFlags(table, args, problems);
  const values: Record<string, unknown> = {};
  for (const [key, setting] of Object.entries(table)) {
    const flag = flags[flagOf(key)];
    const variable = flag === undefined ? variableOf(key) : `--${flagOf(key)}`;
    const given = flag ?? env[variableOf(key)] ?? setting.fallback;
    const remedy = `set ${variableOf(key)} or --${flagOf(key)} to ${setting.about} (${setting.bounds})`;
    if (given === undefined) {
      problems.push({ variable, value: '', problem: 'required, but not set', remedy });
      continue;
    }
    const parsed = setting.schema.safeParse(given);
    if (parsed.success) {
      values[key] = parsed.data;
      continue;
    }
    const value = setting.secret ? '[redacted]' : given;
    const problem = parsed.error.issues[0]?.message ?? 'not valid';
    problems.push({ variable, value, problem, remedy });
  }
  problems.push(...unknownVariables(table, env));
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.freeze(values) as ValuesOf<Table>;
}

function readFlags(
  table: Settings,
  args: string[],
  problems: ConfigProblem[],
): Record<string, string | undefined> {
  const options = Object.fromEntries(
    Object.keys(table).map((key) => [flagOf(key), { type: 'string' as const }]),
  );
  const { values, tokens } = parseArgs({
    args,
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const remedy = 'write each flag as --flag=value; --help lists the flags';
  for (const token of tokens) {
    if (token.kind === 'positional') {
      problems.push({ variable: 'argument', value: token.value, problem: 'not a flag', remedy });
    } else if (token.kind === 'option' && !(token.name in options)) {
      const value = token.value ?? '';
      problems.push({ variable: token.rawName, value, problem: 'no such flag', remedy });
    } else if (token.kind === 'option' && token.value === undefined) {
      problems.push({ variable: token.rawName, value: '', problem: 'has no value', remedy });
    }
  }
  return Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, string] => {
      return typeof entry[1] === 'string';
    }),
  );
}

/**
 * Variables that Kubernetes sets for each Service of the namespace, such as
 * LAZYSCOPE_NODE_SERVICE_HOST.
 */
const serviceLink = /_(SERVICE_(HOST|PORT)(_.*)?|PORT(_\d+_(TCP|UDP|SCTP)(_.*)?)?)$/;

/**
 * Without this check a misspelt variable would go unnoticed, because the default works well enough.
 */
function unknownVariables(
  table: Settings,
  env: Record<string, string | undefined>,
): ConfigProblem[] {
  const known = new Set(Object.keys(table).map(variableOf));
  return Object.entries(env)
    .filter(([name]) => name.startsWith('LAZYSCOPE_') && !known.has(name))
    .filter(([name]) => !serviceLink.test(name))
    .map(([variable, value]) => ({
      variable,
      value: value ?? '',
      problem: 'no such setting for this role',
      remedy: 'remove it, or correct its name (see --help)',
    }));
}

/** The values in force, for the log: secrets redacted. */
export function redacted<Table extends Settings>(
  table: Table,
  values: ValuesOf<Table>,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(values).map(([key, value]) => {
      return [key, table[key]?.secret && value !== '' ? '[redacted]' : value];
    }),
  );
}

/** The part of `--help` that lists a table, a paragraph for each setting. */
export function describeSettings(table: Settings): string {
  return Object.entries(table)
    .map(([key, { about, unit, bounds, fallback }]) => {
      const standard = fallback === undefined ? 'required' : `default ${fallback || 'none'}`;
      return `  --${flagOf(key)}, ${variableOf(key)}\n      ${about}\n      ${unit}; ${bounds}; ${standard}`;
    })
    .join('\n');
}
