import { appPorts } from '../../../box/shop.ts';

/**
 * The namespace of the caller, that of most servers, one with rules and servers of its own, and one
 * whose Services have no servers: only a rule leads to some.
 */
export const variantNamespaces = {
  ...{ mine: 'vary', theirs: 'vary-servers' },
  ...{ third: 'vary-third', wild: 'vary-wild' },
};
const { theirs } = variantNamespaces;

export type Variant = {
  /** Names the Service that is called. */
  name: string;
  /** The combination, as the subject of a sentence. */
  what: string;
  /** Namespace of the Service; default `theirs`. */
  at?: string;
  /** Flags of the call. */
  flags?: string[];
  /** Status with full configuration; default 200. */
  status?: number;
  /** Annotations of the Service. */
  annotations?: Record<string, string>;
  /** Objects beside the Service, or instead of it. */
  objects?: object[];
  /** The objects are the Service. */
  isOwn?: true;
};

export const host = (name: string, namespace = theirs) => `${name}.${namespace}.svc.cluster.local`;
export const port = appPorts.http;

export const service = (name: string, namespace = theirs, annotations = {}) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace, annotations },
  spec: { selector: { app: 'server' }, ports: [{ name: 'http', port }] },
});
/** The header shows which rule applied. */
export const marked = (value: string) => ({ headers: { response: { set: { 'x-route': value } } } });
export const to = (name: string, more: object = {}) => ({
  destination: { host: name, port: { number: port }, ...more },
});
export const route = (value: string, name: string, more: object = {}) => ({
  ...marked(value),
  route: [to(name, more)],
});

export const urlOf = ({ name, at = theirs }: Variant) => `http://${name}.${at}:${port}/`;
