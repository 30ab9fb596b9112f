import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ApiServer } from './api-server.ts';

/** A service account: its namespace and name. */
export type AccountRef = { namespace: string; name: string };

/** The object that a token is bound to. */
export type Binding = { kind: 'Node' | 'Pod'; name: string; uid?: string };

/** Creates the account if it is missing and requests a token, as the kubelet does for a pod. */
export async function tokenOf(
  api: ApiServer,
  { namespace, name }: AccountRef,
  options: { audience?: string; seconds?: number; boundTo?: Binding } = {},
): Promise<string> {
  const { audience, seconds = 7_200, boundTo } = options;
  const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;
  // The account exists from the second request on.
  await api.call('POST', accounts, { metadata: { name } }).catch(() => undefined);
  const spec = {
    expirationSeconds: seconds,
    ...(audience && { audiences: [audience] }),
    ...(boundTo && { boundObjectRef: { apiVersion: 'v1', ...boundTo } }),
  };
  const review = await api.call<{ status: { token: string } }>(
    'POST',
    `${accounts}/${name}/token`,
    { spec },
  );
  return review.status.token;
}

/** The folder that the kubelet mounts: `token` and `ca.crt`. */
export async function accountFolder(
  api: ApiServer,
  account: AccountRef,
): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'lazyscope-account-'));
  await writeFile(join(path, 'token'), await tokenOf(api, account));
  await writeFile(join(path, 'ca.crt'), await readFile(join(api.account, 'ca.crt')));
  return { path, remove: () => rm(path, { recursive: true }) };
}
