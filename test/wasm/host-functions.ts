import { headerMap, pluginConfiguration, result, streamType } from './abi.ts';
import type { Host, Stream } from './host.ts';
import { type GuestMemory, HostResult } from './memory.ts';
import { decodeMessage, decodePairs } from './wire.ts';

/** Keys of the filter state objects that Envoy can make from bytes. */
const filterStateKeys = new Set([
  'envoy.tcp_proxy.cluster',
  'envoy.network.upstream_server_name',
  'envoy.network.upstream_subject_alt_names',
]);

type Functions = { [name: string]: (...args: never[]) => number };

/**
 * The host functions by import name, with the behaviour of Envoy 1.40 (context.cc, exports.cc,
 * foreign.cc).
 */
export function hostFunctionsOf(host: Host, memory: GuestMemory): Functions {
  const { ok, notFound, badArgument, internalFailure } = result;
  /**
   * The effective stream, or a stop with BadArgument if the effective context is a root context.
   */
  const stream = (): Stream => host.effective() ?? stop(badArgument);
  const requestHeaders = () => {
    const { headers, headersAtHand } = stream();
    return headersAtHand ? headers : stop(badArgument);
  };

  return {
    'env.proxy_log': (level: number, at: number, size: number) => {
      host.logs.push(`${level} ${memory.text(at, size)}`);
      return ok;
    },
    'env.proxy_get_current_time_nanoseconds': (out: number) => {
      memory.time(out, host.now);
      return ok;
    },
    'env.proxy_set_tick_period_milliseconds': (period: number) => {
      host.tickPeriods.set(host.currentRoot(), period);
      return ok;
    },
    'env.proxy_get_property': (at: number, size: number, outAt: number, outSize: number) => {
      const name = memory.text(at, size);
      const current = host.effective();
      const value = current?.properties[name] ?? current?.state.get(name)?.value;
      if (value === undefined) return notFound;
      memory.give(value, outAt, outSize);
      return ok;
    },
    'env.proxy_set_property': (at: number, size: number, value: number, valueSize: number) => {
      const name = memory.text(at, size);
      const survives = host.declared.get(name) === 1;
      stream().state.set(name, { value: memory.read(value, valueSize), survives });
      return ok;
    },
    'env.proxy_get_header_map_value': (map: number, at: number, size: number, ...out: number[]) => {
      const name = memory.text(at, size);
      let headers: { [name: string]: string };
      if (map === headerMap.request) headers = requestHeaders();
      else if (map === headerMap.callResponse) headers = host.callResponse ?? stop(badArgument);
      else return badArgument;
      const value = headers[name];
      if (value === undefined) return notFound;
      memory.give(value, out[0] ?? 0, out[1] ?? 0);
      return ok;
    },
    'env.proxy_replace_header_map_value': (
      map: number,
      at: number,
      size: number,
      ...v: number[]
    ) => {
      if (map !== headerMap.request) return badArgument;
      requestHeaders()[memory.text(at, size)] = memory.text(v[0] ?? 0, v[1] ?? 0);
      return ok;
    },
    'env.proxy_remove_header_map_value': (map: number, at: number, size: number) => {
      if (map !== headerMap.request) return badArgument;
      delete requestHeaders()[memory.text(at, size)];
      return ok;
    },
    'env.proxy_get_buffer_bytes': (
      buffer: number,
      start: number,
      size: number,
      ...out: number[]
    ) => {
      if (buffer !== pluginConfiguration || host.configuration === undefined) return notFound;
      const bytes = host.configuration.subarray(start, start + size);
      memory.give(bytes, out[0] ?? 0, out[1] ?? 0);
      return ok;
    },
    'env.proxy_http_call': (...args: number[]) => {
      const [cluster, clusterSize, pairs, pairsSize, body, bodySize, , , timeout, out] = args as [
        ...[number, number, number, number, number],
        ...[number, number, number, number, number],
      ];
      const headers = decodePairs(memory.read(pairs, pairsSize));
      const name = memory.text(cluster, clusterSize);
      memory.number(out, 0);
      if (!host.clusters.has(name)) return badArgument;
      if (!headers[':method'] || !headers[':path'] || !headers[':authority']) return badArgument;
      if (host.refuseCalls) return internalFailure;
      const token = host.nextToken++;
      const call = { token, root: host.currentRoot(), cluster: name, headers, timeout };
      host.calls.push({ ...call, body: memory.read(body, bodySize) });
      memory.number(out, token);
      return ok;
    },
    'env.proxy_call_foreign_function': (
      at: number,
      size: number,
      args: number,
      argsSize: number,
    ) => {
      const name = memory.text(at, size);
      const message = decodeMessage(memory.read(args, argsSize));
      const key = String(message.get(1));
      if (name === 'declare_property') {
        if (host.declared.has(key) && host.declaredBy.get(key)?.has(host.currentRoot())) {
          return badArgument;
        }
        host.declare(key, Number(message.get(5) ?? 0));
        return ok;
      }
      if (name !== 'set_envoy_filter_state' || !filterStateKeys.has(key)) return notFound;
      const span = Number(message.get(3) ?? 0);
      stream().filterState.set(key, { value: String(message.get(2)), span });
      return ok;
    },
    'env.proxy_set_effective_context': (id: number) => (host.act(id) ? ok : badArgument),
    'env.proxy_continue_stream': (type: number) => {
      if (type !== streamType.request && type !== streamType.downstream) return badArgument;
      const current = host.effective();
      // In a root context Envoy returns Ok and does nothing.
      if (current === undefined || (current.kind === 'http') !== (type === streamType.request))
        return ok;
      current.continued++;
      current.headersAtHand = false;
      return ok;
    },
    'wasi_snapshot_preview1.random_get': (at: number, size: number) => {
      memory.bytes(at, host.random(size));
      return ok;
    },
  };
}

function stop(code: number): never {
  throw new HostResult(code);
}
