import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stateDir } from '../paths.ts';
import { run } from '../run.ts';
import { apiServer } from './network-plan.ts';

export const pkiDir = join(stateDir, 'pki');

/** The clients of the API server, by bearer token. Users and groups have Kubernetes' own names. */
const identities: Record<string, { user: string; group: string }> = {
  admin: { user: 'admin', group: 'system:masters' },
  'kube-controller-manager': { user: 'system:kube-controller-manager', group: '' },
  'kube-scheduler': { user: 'system:kube-scheduler', group: '' },
  'kube-proxy': { user: 'system:kube-proxy', group: '' },
};

const tokens = new Map<string, string>();

/** Keys, certificates and tokens of one mesh, created at each start and deleted at its end. */
export async function createPki(nodes: string[]): Promise<void> {
  await mkdir(pkiDir, { recursive: true, mode: 0o700 });
  const key = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const type = { private: 'pkcs8', public: 'spki' } as const;
  await writeFile(
    join(pkiDir, 'sa.key'),
    key.privateKey.export({ type: type.private, format: 'pem' }),
  );
  await writeFile(
    join(pkiDir, 'sa.pub'),
    key.publicKey.export({ type: type.public, format: 'pem' }),
  );
  await createKubeletClient();
  const rows = { ...identities };
  for (const node of nodes)
    rows[`kubelet-${node}`] = { user: `system:node:${node}`, group: 'system:nodes' };
  const lines = Object.entries(rows).map(([name, { user, group }]) => {
    const token = randomBytes(24).toString('hex');
    tokens.set(name, token);
    return `${token},${user},${user},"${group}"`;
  });
  await writeFile(join(pkiDir, 'tokens.csv'), `${lines.join('\n')}\n`, { mode: 0o600 });
}

/** A CA and the certificate by which the API server proves itself to kubelets (logs, exec). */
async function createKubeletClient(): Promise<void> {
  const at = (name: string) => join(pkiDir, name);
  const request = ['req', '-newkey', 'rsa:2048', '-nodes', '-days', '30'];
  const ca = [
    '-x509',
    '-subj',
    '/CN=kubelet-clients',
    '-keyout',
    at('ca.key'),
    '-out',
    at('ca.crt'),
  ];
  await run('openssl', [...request, ...ca]);
  const subject = ['-subj', '/O=system:masters/CN=kube-apiserver'];
  const client = ['-x509', '-CA', at('ca.crt'), '-CAkey', at('ca.key')];
  const files = ['-keyout', at('kubelet-client.key'), '-out', at('kubelet-client.crt')];
  await run('openssl', [...request, ...client, ...subject, ...files]);
}

/**
 * A kubeconfig for one of the identities. It holds the API server's certificate, so the API server
 * must have started.
 */
export async function writeKubeconfig(name: string): Promise<string> {
  const ca = await readFile(join(pkiDir, 'apiserver.crt'));
  const path = join(pkiDir, `${name}.kubeconfig`);
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'mesh',
        cluster: {
          server: `https://${apiServer.address}:${apiServer.port}`,
          'certificate-authority-data': ca.toString('base64'),
        },
      },
    ],
    users: [{ name, user: { token: tokens.get(name) } }],
    contexts: [{ name: 'mesh', context: { cluster: 'mesh', user: name } }],
    'current-context': 'mesh',
  };
  await writeFile(path, JSON.stringify(config), { mode: 0o600 });
  return path;
}
