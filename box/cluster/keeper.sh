#!/usr/bin/env bash
# Keeps the box: runs it in separate namespaces and, however the box ends, removes the cgroups and
# files, which do not end with a namespace. Usage: keeper.sh STATE_DIR CGROUP_PREFIX
# [BOX_COMMAND...] Without a command it only removes the remains of a box whose keeper was killed.
# Every process of the box holds the lock, so the lock is free exactly when all of them have ended.
set -u
state=$1 prefix=$2
shift 2

exec 9>"$state.lock"
flock --nonblock 9 || exit 75 # EX_TEMPFAIL: another mesh is up

# A kubectl of a crashed run would wait for the ended API server, and keep its network alive.
end_clients() {
  local process
  for process in /proc/[0-9]*; do
    if tr '\0' ' ' 2>/dev/null <"$process/cmdline" | grep -q -- "--kubeconfig=$state/pki/"; then
      kill -KILL "${process#/proc/}" 2>/dev/null
    fi
  done
}

sweep() {
  local root
  end_clients
  for root in "/sys/fs/cgroup/$prefix" /sys/fs/cgroup/*/"$prefix"; do
    if [ -d "$root" ]; then find "$root" -depth -type d -exec rmdir {} \; ; fi
  done
  rm -rf "$state"
}

sweep
[ "$#" -gt 0 ] || exit 0
rm -rf "$state.failed"
mkdir -p "$state/logs"
exec >"$state/logs/box.log" 2>&1

# PID 1 of the box is a shell because orphans (containerd's shims) need a parent that reaps them.
# Its input is the owner's pipe; a background job would otherwise read from /dev/null.
exec 3<&0
unshare --mount --net --pid --fork --kill-child --mount-proc --propagation private \
  bash -c '"$@"; exit $?' box "$@" <&3 3<&- &
box=$!
exec 3<&-
echo "$$" >"$state/keeper.pid"
echo "$box" >"$state/box.pid"

# Killing PID 1 ends every process of its namespace, and `unshare` returns when they are gone.
stop() {
  stopped=1
  kill -KILL $(cat "/proc/$box/task/$box/children") 2>/dev/null || kill -KILL "$box"
}
stopped=0
trap stop TERM INT HUP
wait "$box"
code=$?
# A trapped signal ends the first wait early.
wait "$box" 2>/dev/null
if [ "$code" != 0 ] && [ "$stopped" = 0 ]; then cp -r "$state/logs" "$state.failed"; fi
sweep
exit "$code"
