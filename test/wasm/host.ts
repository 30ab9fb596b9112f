import { readFileSync } from 'node:fs';
import { hostFunctions, moduleFunctions, unrestricted } from './abi.ts';
import { hostFunctionsOf } from './host-functions.ts';
import { type GuestMemory, guestMemory, HostResult } from './memory.ts';
import { type ModuleTypes, readModuleTypes } from './module-types.ts';

export type Headers = { [name: string]: string };

/** A request or connection. `continued` counts how often a pause was ended. */
export type Stream = {
  id: number;
  kind: 'http' | 'tcp';
  properties: { [path: string]: string };
  headers: Headers;
  headersAtHand: boolean;
  state: Map<string, { value: Uint8Array; survives: boolean }>;
  filterState: Map<string, { value: string; span: number }>;
  paused: boolean;
  continued: number;
};

export type Call = {
  token: number;
  root: number;
  cluster: string;
  headers: Headers;
  body: Uint8Array;
  timeout: number;
};

/** Rejects a module as Envoy does, before any code of the module runs. */
export function checkModule(types: ModuleTypes): void {
  for (const [name, signature] of types.imports) {
    const expected = hostFunctions[name];
    if (expected === undefined) throw new Error(`missing import: ${name}`);
    if (expected !== signature) throw new Error(`import ${name} is ${signature}, not ${expected}`);
  }
  for (const [name, signature] of types.exports) {
    const expected = moduleFunctions[name];
    if (expected === undefined) throw new Error(`export ${name} is never called`);
    if (expected !== signature) throw new Error(`export ${name} is ${signature}, not ${expected}`);
  }
  if (types.hasStart) throw new Error('a start section runs before the host is ready');
}

export const filterBytes = readFileSync(new URL('../../build/filter.wasm', import.meta.url));
export const filterTypes = readModuleTypes(filterBytes);
const filterModule = new WebAssembly.Module(filterBytes);

/**
 * One VM with the shipped module, behind a host as strict as Envoy: this host refuses and silently
 * accepts the same calls as Envoy.
 */
export class Host {
  readonly logs: string[] = [];
  readonly calls: Call[] = [];
  /** The number of calls to each host function. */
  readonly counts = new Map<string, number>();
  readonly tickPeriods = new Map<number, number>();
  readonly declared = new Map<string, number>();
  readonly declaredBy = new Map<string, Set<number>>();
  readonly clusters = new Set(['lazyscope-node']);
  /** The result that a host function returns instead of doing its work; undefined: it works. */
  fail: (name: string) => number | undefined = () => undefined;
  now = 1_700_000_000_000_000_000n;
  nextToken = 1;
  refuseCalls = false;
  configuration: Uint8Array | undefined;
  callResponse: Headers | undefined;
  readonly memory: GuestMemory;

  private readonly streams = new Map<number, Stream>();
  private readonly roots = new Set<number>();
  private readonly exports: { [name: string]: (...args: number[]) => number };
  private readonly functions: { [name: string]: (...args: never[]) => number };
  private surviving: Stream['state'] | undefined;
  private nextId = 1;
  private current = 0;
  private acting = 0;
  private restricted = true;
  private seed = 0;

  constructor(seed = 1) {
    this.seed = seed;
    checkModule(filterTypes);
    const imports: WebAssembly.Imports = {};
    for (const name of filterTypes.imports.keys()) {
      const [module = '', field = ''] = name.split('.');
      imports[module] ??= {};
      imports[module][field] = (...args: number[]) => this.serve(name, args);
    }
    const { exports } = new WebAssembly.Instance(filterModule, imports);
    this.exports = exports as typeof this.exports;
    this.memory = guestMemory(exports.memory as WebAssembly.Memory, (size) => this.malloc(size));
    this.functions = hostFunctionsOf(this, this.memory);
    this.run('_initialize', 0);
    this.restricted = false;
  }

  private serve(name: string, args: number[]): number {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    if (this.restricted && !unrestricted.has(name))
      throw new Error(`${name} called while restricted`);
    const failure = this.fail(name);
    if (failure !== undefined) return failure;
    try {
      return (this.functions[name] as (...args: number[]) => number)(...args);
    } catch (error) {
      if (error instanceof HostResult) return error.code;
      throw error;
    }
  }

  malloc(size: number): number {
    this.restricted = true;
    const at = (this.exports.malloc as (size: number) => number)(size);
    this.restricted = false;
    return at;
  }

  /** Calls a function of the module in a context. A trap passes through and fails the test. */
  private run(name: string, context: number, ...args: number[]): number {
    this.current = context;
    this.acting = 0;
    const value = (this.exports[name] as (...args: number[]) => number)(...args);
    this.current = 0;
    this.acting = 0;
    return value;
  }

  /** The effective stream: the stream of set_effective_context, or else the current stream. */
  effective(): Stream | undefined {
    return this.streams.get(this.acting === 0 ? this.current : this.acting);
  }

  act(id: number): boolean {
    if (!this.streams.has(id) && !this.roots.has(id)) return false;
    this.acting = id;
    return true;
  }

  /** All streams belong to the newest root. A callback of a root belongs to that root. */
  currentRoot(): number {
    if (this.roots.has(this.current)) return this.current;
    return [...this.roots].at(-1) ?? 0;
  }

  declare(key: string, span: number): void {
    this.declared.set(key, span);
    const by = this.declaredBy.get(key) ?? new Set();
    this.declaredBy.set(key, by.add(this.currentRoot()));
  }

  random(size: number): Uint8Array {
    return Uint8Array.from({ length: size }, (_, i) => (this.seed * 167 + i * 31) & 255);
  }

  /** Makes a root context with this plugin configuration. Returns the id of the context. */
  configure(configuration: string | object | Uint8Array = ''): number {
    const id = this.nextId++;
    this.roots.add(id);
    const isText = typeof configuration === 'string';
    const text = isText ? configuration : JSON.stringify(configuration);
    this.configuration =
      configuration instanceof Uint8Array ? configuration : new TextEncoder().encode(text);
    const accepted = this.run('proxy_on_configure', id, id, this.configuration.length);
    this.configuration = undefined;
    if (accepted !== 1) throw new Error('configuration refused');
    return id;
  }

  removeRoot(id: number): void {
    this.roots.delete(id);
    for (let i = this.calls.length - 1; i >= 0; i--) {
      if (this.calls[i]?.root === id) this.calls.splice(i, 1);
    }
  }

  request(properties: { [path: string]: string }, headers: Headers, endOfStream = true): Stream {
    const stream = this.open('http', properties, headers);
    const names = Object.keys(headers).length;
    const paused = this.run(
      'proxy_on_request_headers',
      stream.id,
      stream.id,
      names,
      Number(endOfStream),
    );
    stream.paused = paused !== 0;
    if (!stream.paused) stream.headersAtHand = false;
    return stream;
  }

  /** `chain`: name of the filter chain. The default is the chain for unknown connections. */
  connect(address: string, chain = 'virtualOutbound-catchall-tcp'): Stream {
    const properties = { 'destination\0address': address, 'xds\0filter_chain_name': chain };
    const stream = this.open('tcp', properties, {});
    stream.paused = this.run('proxy_on_new_connection', stream.id, stream.id) !== 0;
    return stream;
  }

  /** Runs a request again, as an internal redirect does: same headers, same surviving state. */
  redirect(stream: Stream, properties: { [path: string]: string }): Stream {
    this.close(stream);
    const { 'x-lazyscope-cluster': _, ...headers } = stream.headers;
    this.surviving = new Map([...stream.state].filter(([, { survives }]) => survives));
    return this.request(properties, headers);
  }

  private open(kind: Stream['kind'], properties: Stream['properties'], headers: Headers): Stream {
    const id = this.nextId++;
    const stream: Stream = {
      ...{ id, kind, properties, headers: { ...headers }, headersAtHand: kind === 'http' },
      ...{
        state: this.surviving ?? new Map(),
        filterState: new Map(),
        paused: false,
        continued: 0,
      },
    };
    this.surviving = undefined;
    this.streams.set(id, stream);
    return stream;
  }

  close(stream: Stream): void {
    this.run('proxy_on_delete', stream.id, stream.id);
    this.streams.delete(stream.id);
  }

  tick(root: number): void {
    this.run('proxy_on_tick', root, root);
  }

  /** Answers a call. Without headers the call fails, as with a broken connection. */
  respond(call: Call, headers?: Headers): void {
    this.calls.splice(this.calls.indexOf(call), 1);
    this.callResponse = headers;
    const names = Object.keys(headers ?? {}).length;
    this.run('proxy_on_http_call_response', call.root, call.root, call.token, names, 0, 0);
    this.callResponse = undefined;
  }

  call(path: string): Call {
    const call = this.calls.find((c) => c.headers[':path'] === path);
    if (call === undefined) throw new Error(`no call to ${path} is open`);
    return call;
  }
}
