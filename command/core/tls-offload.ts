import { parse } from 'yaml';

/**
 * What the policy of manifests/components/tls-offload does to a pod, for pods that it could not
 * change, and for clusters that do not serve it.
 */
export const offloadLabel = 'lazyscope.io/tls-offload';
/** Of Nodes, set by Node Feature Discovery from what the node companion found. */
export const capableLabel = 'lazyscope.io/cryptomb';
export const configAnnotation = 'proxy.istio.io/config';

export const provider = 'privateKeyProvider: {cryptomb: {pollDelay: 2ms, fallback: true}}\n';

type Labels = Record<string, string> | undefined;

/** The label of the pod wins over that of its namespace; any other value is `off`. */
export function wantsOffload(pod: Labels, namespace: Labels): boolean {
  return (pod?.[offloadLabel] ?? namespace?.[offloadLabel]) === 'auto';
}

/** As the policy has them: a block mapping with keys in the first column, or only comments. */
const mapping = /^([ \t]*(#[^\n]*)?\r?\n)*[A-Za-z][A-Za-z0-9]*[ \t]*:([ \t\r\n]|$)/;
const nothing = /^([ \t]*(#[^\n]*)?(\r?\n|$))*$/;

/** The user's own configuration of a proxy with the provider; undefined if it stays as it is. */
export function withProvider(config: string): string | undefined {
  if (config.includes('privateKeyProvider') || /^(---|\.\.\.|%)/m.test(config)) return undefined;
  if (!mapping.test(config) && !nothing.test(config)) return undefined;
  return `${config}${config === '' || config.endsWith('\n') ? '' : '\n'}${provider}`;
}

/** The provider in a configuration; undefined if there is none, or the text is no YAML. */
export function providerIn(config: string): 'cryptomb' | 'qat' | undefined {
  try {
    const found = parse(config)?.privateKeyProvider as Record<string, unknown> | undefined;
    return found?.cryptomb ? 'cryptomb' : found?.qat ? 'qat' : undefined;
  } catch {
    return undefined;
  }
}
