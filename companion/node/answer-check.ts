import type { Answer } from '../contract/rpc.ts';

const strategies = new Set(['gateway', 'direct', 'hold', 'plain', 'passthrough']);
const others = new Set(['gateway', 'direct', 'plain', 'passthrough']);
const identitiesLengthMax = 2048;
const sniLengthMax = 512;
/** Room of the filter for each text of the retries (wasm-filter/retries.ts). */
const retriesLengthMax = 512;
/** Printable ASCII: these become header values. */
const printable = /^[\x21-\x7e]*$/;

/** Why a filter could not use the answer; undefined if it can. */
export function problemOf({
  strategy,
  otherwise,
  sni,
  identities,
  retries,
}: Answer): string | undefined {
  if (!strategies.has(strategy)) return `unknown strategy ${JSON.stringify(strategy)}`;
  if (strategy === 'hold' && !others.has(otherwise)) return 'hold without a usable "otherwise"';
  if (sni.length > sniLengthMax || !printable.test(sni)) return 'sni is too long or not printable';
  const names = identities.join(',');
  if (names.length > identitiesLengthMax || !printable.test(names)) {
    return 'identities are too long or not printable';
  }
  const conditions = retries ? [retries.on, retries.grpcOn, retries.codes] : [];
  if (conditions.some((each) => each.length > retriesLengthMax || !printable.test(each))) {
    return 'retries are too long or not printable';
  }
  const used = strategy === 'hold' ? otherwise : strategy;
  const isMutual = used === 'gateway' || used === 'direct';
  if (sni === '' && isMutual) return `${used} without an sni`;
  return undefined;
}
