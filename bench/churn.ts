import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiServer } from '../box/api/api-server.ts';
import { type Population, podsPerWorkload, serviceRef } from '../box/api/population.ts';

/** The share of all objects that changes each second. */
export type Shares = { endpoints: number; services: number };

/** Makes changes for this many seconds; each call continues where the last one stopped. */
export type Churn = (seconds: number) => Promise<void>;

/**
 * Changes endpoints (their addresses) and services (a port is added or removed), evenly over the
 * seconds. If the changes of one second take longer, the next second starts late; no change is
 * left out.
 */
export function createChurn(api: ApiServer, population: Population, shares: Shares): Churn {
  const { services } = population;
  const slicesPerSecond = Math.round(services * shares.endpoints);
  const servicesPerSecond = Math.round(services * shares.services);
  // Each change differs from the current state; otherwise it would change nothing.
  let [slice, service] = [0, 0];
  return async (seconds) => {
    const started = performance.now();
    for (let second = 0; second < seconds; second++) {
      const changes: Promise<unknown>[] = [];
      for (let i = 0; i < slicesPerSecond; i++)
        changes.push(moveEndpoints(api, population, slice++));
      for (let i = 0; i < servicesPerSecond; i++)
        changes.push(changePorts(api, population, service++));
      await Promise.all(changes);
      await sleep(Math.max(0, started + (second + 1) * 1000 - performance.now()));
    }
  };
}

/** Both endpoints of a service are now elsewhere. */
function moveEndpoints(api: ApiServer, population: Population, turn: number): Promise<unknown> {
  const { services } = population;
  const { namespace, name } = serviceRef(turn % services, population);
  const round = 1 + Math.floor(turn / services);
  const index = turn % services;
  const endpoints = Array.from({ length: podsPerWorkload(population) }, (_, i) => ({
    addresses: [`10.${150 + ((2 * round + i) % 100)}.${index >> 8}.${index & 255}`],
    conditions: { ready: true, serving: true, terminating: false },
  }));
  const path = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices/${name}-x7k2p`;
  return api.call('PATCH', path, { endpoints });
}

const ports = [
  { name: 'http', port: 8080 },
  { name: 'http-admin', port: 9080 },
];

function changePorts(api: ApiServer, population: Population, turn: number): Promise<unknown> {
  const { services } = population;
  const { namespace, name } = serviceRef(turn % services, population);
  const isOdd = Math.floor(turn / services) % 2 === 1;
  const more = isOdd ? [] : [{ name: 'http-extra', port: 9081 }];
  const path = `/api/v1/namespaces/${namespace}/services/${name}`;
  return api.call('PATCH', path, { spec: { ports: [...ports, ...more] } });
}
