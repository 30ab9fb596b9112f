import { parseArgs } from 'node:util';
import { type LearningSource, sources } from '../companion/core/scope/source.ts';
import type { Mode } from './product.ts';

/** The options of `up`. */
export type UpRequest = {
  nodes: number;
  services: number;
  shop: boolean;
  /** Install the product as its README says. */
  product: boolean;
  /** Namespaces to enable in the mode `enforce`. */
  enforce: string[];
  /** LAZYSCOPE_LEARNING_WINDOW_SECONDS of the controller; without it, the shipped default. */
  learningSeconds?: number;
};

/** The number of addresses for synthetic endpoints and ClusterIPs. */
const servicesMax = 50_000;
/** The controller's bound (companion/frame/config.ts): a month. */
const learningSecondsMax = 2_592_000;
const modes = ['observe', 'enforce', 'off'] as const satisfies Mode[];

/** Reads the arguments of `up`; throws with the problem and the remedy. */
export function readUp(args: string[]): UpRequest {
  const { values } = parseArgs({
    args,
    options: {
      nodes: { type: 'string', default: '2' },
      services: { type: 'string', default: '0' },
      shop: { type: 'boolean', default: false },
      product: { type: 'boolean', default: false },
      enforce: { type: 'string', multiple: true, default: [] },
      'learning-seconds': { type: 'string' },
    },
  });
  const { shop, product, enforce } = values;
  const learning = values['learning-seconds'];
  if (!product && enforce.length > 0)
    throw new Error(`--enforce ${enforce[0]} needs --product: without it nothing would narrow`);
  if (!product && learning !== undefined)
    throw new Error('--learning-seconds needs --product: it is a setting of the controller');
  enforce.forEach(checkNamespace);
  return {
    ...{ shop, product, enforce },
    // The plan of the nodes checks the bounds.
    nodes: Number(values.nodes),
    services: wholeNumber('--services', values.services, servicesMax),
    ...(learning !== undefined && {
      learningSeconds: wholeNumber('--learning-seconds', learning, learningSecondsMax),
    }),
  };
}

/** Reads the arguments of `enable`. */
export function readEnable([namespace = '', mode = '', ...rest]: string[]): {
  namespace: string;
  mode: Mode;
  source: LearningSource;
} {
  checkNamespace(namespace);
  const [option, value, ...more] = rest;
  const known = modes.find((each) => each === mode);
  if (known === undefined || (option !== undefined && option !== '--source') || more.length > 0)
    throw new Error(`'${[mode, ...rest].join(' ')}': give one mode of ${modes.join(', ')}`);
  const source = option === undefined ? 'wasm' : sources.find((each) => each === value);
  if (!source) throw new Error(`--source ${value ?? ''}: give one of ${sources.join(', ')}`);
  return { namespace, mode: known, source };
}

function wholeNumber(option: string, text: string, most: number): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number <= most) return number;
  throw new Error(`${option} ${text}: give a whole number from 0 to ${most}`);
}

/** A DNS label (RFC 1123), as the API server requires. */
function checkNamespace(name: string): void {
  if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name))
    throw new Error(`'${name}' is not a name of a namespace: use lower-case letters, digits and -`);
}
