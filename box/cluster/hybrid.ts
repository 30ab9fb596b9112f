import { existsSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Where a hybrid machine has its v2 hierarchy, beside the controllers of v1. */
const unified = '/sys/fs/cgroup/unified';

/**
 * On a hybrid machine runc puts containers into the hierarchies of v1 alone, because the machine's
 * controllers are there. This wrapper of runc gives each container the same path in v2 as well,
 * before its first process runs, so that the container's sockets belong to that cgroup.
 *
 * @returns the path of the wrapper, or undefined on other machines
 */
export async function writeHybridRuntime(dir: string): Promise<string | undefined> {
  if (!existsSync(join(unified, 'cgroup.procs'))) return undefined;
  const path = join(dir, 'runc');
  await writeFile(path, script);
  await chmod(path, 0o755);
  return path;
}

const script = `#!/bin/bash
id=\${!#}
pid_file= before=
for word in "$@"; do
  if [ "$before" = --pid-file ]; then pid_file=$word; fi
  before=$word
done
runc "$@" || exit
case " $* " in
*' create '*)
  pid=$(<"$pid_file")
  path=${unified}$(sed -n 's/^[0-9]*:pids://p' "/proc/$pid/cgroup")
  mkdir -p "$path"
  echo "$pid" >"$path/cgroup.procs"
  ;;
*' delete '*)
  # The folder of the pod goes with its last container.
  find ${unified} -type d -name "$id" -exec sh -c 'rmdir "$1"; rmdir "\${1%/*}"' sh {} \\; 2>/dev/null
  ;;
esac
exit 0
`;
