import { parseArgs } from 'node:util';
import type { Mode } from './product.ts';

/** What `up` was asked for. */
export type UpRequest = {
  nodes: number;
  services: number;
  shop: boolean;
  /** Install the product as its README says. */
  product: boolean;
  /** Namespaces to enable in the mode `enforce`. */
  enforce: string[];
  /** LAZYSCOPE_LEARNING_WINDOW_SECONDS of the controller; as shipped where it is not said. */
  learningSeconds?: number;
};

/** The number of addresses that the synthetic endpoints and ClusterIPs have. */
const servicesMax = 50_000;
/** As the controller takes it (companion/frame/config.ts): a month. */
const learningSecondsMax = 2_592_000;
const modes = ['observe', 'enforce', 'off'] as const satisfies Mode[];

/** Reads the words after `up`; throws with what is wrong and what to give instead. */
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
    // Its bounds are checked where nodes are planned.
    nodes: Number(values.nodes),
    services: wholeNumber('--services', values.services, servicesMax),
    ...(learning !== undefined && {
      learningSeconds: wholeNumber('--learning-seconds', learning, learningSecondsMax),
    }),
  };
}

/** Reads the words after `enable`. */
export function readEnable([namespace = '', mode = '', ...rest]: string[]): {
  namespace: string;
  mode: Mode;
} {
  checkNamespace(namespace);
  const known = modes.find((each) => each === mode);
  if (known === undefined || rest.length > 0)
    throw new Error(`'${[mode, ...rest].join(' ')}': give one mode of ${modes.join(', ')}`);
  return { namespace, mode: known };
}

function wholeNumber(option: string, text: string, most: number): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number <= most) return number;
  throw new Error(`${option} ${text}: give a whole number from 0 to ${most}`);
}

/** A label of DNS (RFC 1123), as the API server wants it. */
function checkNamespace(name: string): void {
  if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name))
    throw new Error(`'${name}' is not a name of a namespace: use lower-case letters, digits and -`);
}
