import { outside } from '../../../box/cluster/network-plan.ts';
import { calls } from './calls.ts';
import type { Case } from './cases.ts';
import { type PortName, ports, serviceObject } from './servers.ts';

/** Addresses that exist only after the objects have been created. */
export type Addresses = {
  clusterIp(namespace: string, service: string): string;
  podIp(namespace: string, app: string): string;
};

export type Context = { namespace: string; test: Case; addresses: Addresses };
export type Destination = {
  /**
   * Objects that the destination needs. `late` creates those that need addresses of the first ones.
   */
  objects?(context: Context): object[];
  late?(context: Context): object[];
  host(context: Context): string;
  port?(context: Context): number;
};

/** The Service port that a case calls. */
export function portOf({ call, port }: Pick<Case, 'call' | 'port'>) {
  const name: PortName = port ?? calls[call].port;
  return { name, ...ports[name] };
}

export const hostOf = (namespace: string, name: string) => `${name}.${namespace}.svc.cluster.local`;
/** A name below the domain of the machine outside. */
export const external = ({ test }: Pick<Context, 'test'>) => `${test.name}.${outside.domain}`;

export const ownService = ({ namespace, test }: Context) => [
  serviceObject(namespace, test.name, test.on, [portOf(test).name]),
];
