import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { generateServices, readServices, type Service, servicesMax } from '../embedded/services.ts';
import { castSize } from './scenario.ts';

export const usage = `Two equal sidecars in one mesh on real Envoy: one with the whole mesh, one with only what it uses.

usage: npm run -s demo -- [--services N | --services-file FILE] [--once [--json]]

  --services N          the size of a generated mesh (${castSize} to ${servicesMax}, default 1000)
  --services-file FILE  the mesh of a YAML file: services: [{name: cart, namespace: shop, ports: [8080]}]
  --once                run once and exit, instead of staying up
  --json                with --once: print only the figures
`;

export type Options = { services: Service[]; once: boolean; json: boolean; help: boolean };

/** An invalid request; the message says what to do instead. */
export class UsageError extends Error {}

/** Reads the command line; throws a UsageError, or a ServicesFileError. */
export function readOptions(args: string[]): Options {
  const values = parse(args);
  const { once = false, json = false, help = false } = values;
  if (json && !once) throw new UsageError('--json needs --once: a demo that stays up has no end');
  if (values.services !== undefined && values['services-file'] !== undefined) {
    throw new UsageError('--services and --services-file exclude each other: give one of them');
  }
  return { once, json, help, services: servicesOf(values.services, values['services-file']) };
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        once: { type: 'boolean' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
        services: { type: 'string' },
        'services-file': { type: 'string' },
      },
    }).values;
  } catch (error) {
    const { message } = error as Error;
    throw new UsageError(`${message.split('. ')[0]}; --help lists the options`);
  }
}

function servicesOf(count: string | undefined, file: string | undefined): Service[] {
  if (file !== undefined) {
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch (error) {
      const { code } = error as { code?: string };
      throw new UsageError(`--services-file ${file} cannot be read (${code}): give a YAML file`);
    }
    const services = readServices(text, file);
    if (services.length >= castSize) return services;
    throw new UsageError(
      `${file}: ${services.length} services are too few: the demo calls ${castSize} of them`,
    );
  }
  const number = Number(count ?? 1000);
  if (Number.isInteger(number) && number >= castSize && number <= servicesMax) {
    return generateServices(number);
  }
  throw new UsageError(
    `--services ${count}: give a whole number from ${castSize} to ${servicesMax}`,
  );
}
