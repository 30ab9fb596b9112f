/**
 * Exit codes, the numbers of istioctl (istioctl/cmd/sysexits.go): a script that knows one knows the
 * other.
 */
export const exitCodes = {
  ok: 0,
  error: 1,
  /** The command line is wrong. */
  usage: 64,
  /** An input cannot be read. */
  data: 65,
  /** The command worked, and found what it was asked to look for. */
  found: 79,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** A failure that its user can act on: the value and the reason, and what to do. */
export class CommandError extends Error {
  readonly remedy: string;
  readonly code: ExitCode;
  constructor(message: string, remedy: string, code: ExitCode = exitCodes.error) {
    super(message);
    this.name = 'CommandError';
    this.remedy = remedy;
    this.code = code;
  }
}

/** What to do about a failed TLS handshake, by the words of Node and OpenSSL. */
const tlsRemedies: readonly [cause: RegExp, remedy: string][] = [
  [
    /self[- ]signed certificate|unable to (verify the first|get (local )?issuer) certificate/,
    'name the authority that signed the certificate of the server: kubectl config set-cluster NAME --certificate-authority=FILE; behind a proxy that opens TLS, the authority of the proxy',
  ],
  [
    /certificate (has expired|is not yet valid)/,
    'check the clock of this machine; if it is right, let the certificate of the server be renewed',
  ],
  [
    /does not match certificate's altnames/,
    'address the server by a name of its certificate, or set that name: kubectl config set-cluster NAME --tls-server-name=NAME',
  ],
  [
    /alert (certificate|bad certificate|unknown ca|handshake failure)|wrong version number/,
    'check the client certificate and the address (https or http) in the kubeconfig; log in again if the certificate is old',
  ],
];

/** A request to the API server, in the words of RBAC. */
export type Asked = {
  verb: 'create' | 'get' | 'list' | 'patch';
  /** `workloadscopes.lazyscope.io`; without a group `pods`. */
  resource: string;
  name?: string | undefined;
  /** Undefined: the whole cluster. */
  namespace?: string | undefined;
  /** How the cluster was found, for failures of the connection. */
  server: string;
};

/** The failure of a request in words; `status` is 0 if the API server did not answer. */
export function requestFailure(asked: Asked, status: number, message: string): CommandError {
  const { verb, resource, name, namespace, server } = asked;
  const where = namespace ? `in namespace ${namespace}` : 'in the whole cluster';
  const what = `${verb} ${resource}${name ? ` ${name}` : ''} ${where}`;
  if (status === 0) {
    const remedy =
      tlsRemedies.find(([cause]) => cause.test(message))?.[1] ??
      'check --context and --kubeconfig, and that the cluster can be reached from here';
    return new CommandError(`${what}: no answer from ${server}: ${message}`, remedy);
  }
  if (status === 401) {
    const remedy = 'log in to the cluster again; `kubectl auth whoami` shows whether it worked';
    return new CommandError(`${what}: ${server} does not accept your credentials (401)`, remedy);
  }
  if (status === 403) {
    const kind = namespace ? `role -n ${namespace}` : 'clusterrole';
    const narrower =
      namespace || verb !== 'list' ? '' : ', or name a namespace that you may read (-n)';
    const remedy = `ask for it: kubectl create ${kind} lazyscope-reader --verb=${verb} --resource=${resource}${narrower}`;
    const missing = `you lack the right to ${verb} ${resource} ${where}`;
    return new CommandError(`${missing} (403)`, remedy);
  }
  if (status === 404 && !name) {
    const remedy = resource.endsWith('.lazyscope.io')
      ? 'install Lazyscope, as manifests/README.md says, or use a verb that works without it'
      : 'install what brings this kind, for example Istio, or choose another cluster (--context)';
    return new CommandError(`${what}: the cluster has no such kind (404)`, remedy);
  }
  if (status === 409) {
    return new CommandError(`${what}: somebody changed it at the same time (409)`, 'run it again');
  }
  const remedy = 'read the answer of the API server above; nothing was changed';
  return new CommandError(`${what}: ${status}: ${message}`, remedy);
}
