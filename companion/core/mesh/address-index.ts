import { isIP } from 'node:net';
import { createMultimap } from './multimap.ts';

/** Values by address or by address range (`240.1.0.0/16`), as a ServiceEntry names them. */
export type AddressIndex<Value> = {
  add(address: string, value: Value): void;
  remove(address: string, value: Value): void;
  /**
   * The accepted values of the address itself, else of the narrowest range that contains it and has
   * any.
   */
  get(ip: string, accept?: (value: Value) => boolean): readonly Value[];
  size(): number;
};

/** A look-up costs one step for each prefix length in use, for any number of ranges. */
export function createAddressIndex<Value>(): AddressIndex<Value> {
  const byNetwork = createMultimap<Value>();
  const lengths = new Map<number, number>();

  function touch(verb: 'add' | 'remove', address: string, value: Value): void {
    const range = parseRange(address);
    if (!range) return;
    byNetwork[verb](range.network, value);
    const count = (lengths.get(range.length) ?? 0) + (verb === 'add' ? 1 : -1);
    if (count > 0) lengths.set(range.length, count);
    else lengths.delete(range.length);
  }

  return {
    add: (address, value) => touch('add', address, value),
    remove: (address, value) => touch('remove', address, value),
    get(ip, accept = () => true) {
      for (const length of [...lengths.keys()].sort((a, b) => b - a)) {
        const network = networkOf(ip, length);
        const values = network === undefined ? [] : byNetwork.get(network).filter(accept);
        if (values.length > 0) return values;
      }
      return [];
    },
    size: byNetwork.size,
  };
}

/** Whether an address or range contains the address. */
export function holdsAddress(address: string, ip: string): boolean {
  if (address === ip) return true;
  const range = parseRange(address);
  return range !== undefined && networkOf(ip, range.length) === range.network;
}

/**
 * A range as Envoy writes it: without bits after the prefix, IPv6 in its shortest form. Undefined
 * if the text is no range.
 */
export function rangeText(text: string): string | undefined {
  const [ip = '', digits] = text.split('/');
  const range = parseRange(text);
  if (!range || digits === undefined) return undefined;
  const number = BigInt(range.network.split('/')[0] ?? 0) << BigInt(128 - range.length);
  const groups = (bits: number, count: number) =>
    Array.from(
      { length: count },
      (_, i) => (number >> BigInt(bits * (count - 1 - i))) & ((1n << BigInt(bits)) - 1n),
    );
  if (isIP(ip) === 4) return `${groups(8, 4).join('.')}/${Number(digits)}`;
  const long = groups(16, 8).map((group) => group.toString(16));
  return `${new URL(`http://[${long.join(':')}]`).hostname.slice(1, -1)}/${Number(digits)}`;
}

/** Lengths are counted as in IPv6, where IPv4 has its addresses below `::ffff:0:0/96`. */
function parseRange(text: string): { network: string; length: number } | undefined {
  const [ip = '', digits, ...rest] = text.split('/');
  const version = isIP(ip);
  if (version === 0 || rest.length > 0) return undefined;
  const bits = version === 4 ? 32 : 128;
  if (digits !== undefined && !/^\d{1,3}$/.test(digits)) return undefined;
  const prefix = digits === undefined ? bits : Number(digits);
  if (prefix > bits) return undefined;
  const length = prefix + 128 - bits;
  const network = networkOf(ip, length);
  return network === undefined ? undefined : { network, length };
}

function networkOf(ip: string, length: number): string | undefined {
  const number = numberOf(ip);
  const host = BigInt(128 - length);
  return number === undefined ? undefined : `${number >> host}/${length}`;
}

const ipv4Prefix = 0xffff_0000_0000n;

function numberOf(ip: string): bigint | undefined {
  const version = isIP(ip);
  if (version === 0) return undefined;
  if (version === 4) return ipv4Prefix + quadOf(ip);
  const [plain = ''] = ip.split('%');
  // An IPv4 tail counts for two groups.
  const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(plain);
  const quad = tail ? quadOf(tail[2] ?? '') : 0n;
  const hex = tail
    ? `${tail[1]}${(quad >> 16n).toString(16)}:${(quad & 0xffffn).toString(16)}`
    : plain;
  const [before = '', after] = hex.split('::');
  const head = before === '' ? [] : before.split(':');
  const last = after === undefined || after === '' ? [] : after.split(':');
  const zeros = Array.from({ length: 8 - head.length - last.length }, () => '0');
  return [...head, ...zeros, ...last].reduce((sum, part) => (sum << 16n) + BigInt(`0x${part}`), 0n);
}

function quadOf(ip: string): bigint {
  return ip.split('.').reduce((sum, part) => (sum << 8n) + BigInt(part), 0n);
}
