import { parse } from 'yaml';
import type { Check, Examined } from './check.ts';

/** Extension providers: what policies and Telemetries ask for, and what the mesh has. */

/** Names of the providers in all mesh configurations. */
function known({ of }: Examined): Set<string> {
  type Mesh = { extensionProviders?: { name?: string }[] } | null;
  const names = of('ConfigMap').flatMap(({ data }) => {
    try {
      return (parse(data?.mesh ?? '') as Mesh)?.extensionProviders ?? [];
    } catch {
      return [];
    }
  });
  return new Set(names.map(({ name }) => name ?? ''));
}

const unknown: Check = {
  ...{ id: 'custom-provider-missing', severity: 'critical' },
  title: 'an AuthorizationPolicy asks a provider that the mesh does not have',
  find: (examined) => {
    const names = known(examined);
    return examined.of('AuthorizationPolicy').flatMap(({ metadata, spec }) => {
      const provider: string = spec?.provider?.name ?? '';
      if (spec?.action !== 'CUSTOM' || names.has(provider)) return [];
      return {
        subject: `AuthorizationPolicy ${metadata.namespace}/${metadata.name}`,
        sentence: `provider ${provider} is not among extensionProviders: istiod denies what the policy matches`,
        remedy: `add it to the mesh configuration: extensionProviders: [{name: ${provider}, envoyExtAuthzGrpc: {service: HOST, port: PORT}}]`,
      };
    });
  },
};

type Logging = { providers?: { name: string }[] }[];

const replaced: Check = {
  ...{ id: 'telemetry-replaces-logs', severity: 'info' },
  title: 'a Telemetry of a namespace replaces the access logs of the mesh',
  find({ of, mesh: { config } }) {
    const providersOf = (logging: Logging | undefined) =>
      (logging ?? []).flatMap(({ providers = [] }) => providers.map(({ name }) => name));
    const root = of('Telemetry').find(
      ({ metadata, spec }) => metadata.namespace === config.rootNamespace && !spec?.selector,
    );
    const general = providersOf(root?.spec?.accessLogging);
    return of('Telemetry').flatMap(({ metadata: { namespace, name }, spec }) => {
      const own = providersOf(spec?.accessLogging);
      const lost = general.filter((provider) => !own.includes(provider));
      if (namespace === config.rootNamespace || own.length === 0 || lost.length === 0) return [];
      return {
        subject: `Telemetry ${namespace}/${name}`,
        sentence: `its providers ${own.join(', ')} replace ${lost.join(', ')} of Telemetry ${config.rootNamespace}/${root?.metadata.name}`,
        remedy: `name them all: accessLogging: [{providers: [${[...own, ...lost].map((each) => `{name: ${each}}`).join(', ')}]}]`,
      };
    });
  },
};

export const providerChecks: readonly Check[] = [unknown, replaced];
