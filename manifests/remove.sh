#!/bin/sh
# Takes Lazyscope out, in the order in which no call fails:
#   remove.sh NAMESPACE...   out of these namespaces
#   remove.sh --all          out of all, and then the system itself
#
# What proxies rely on goes last: first the controller gives them full configuration (or, where none
# is left to do it, this script), then the filter goes, then the companions and the gateway.
set -eu
usage='usage: remove.sh NAMESPACE... | remove.sh --all'
[ $# -gt 0 ] || { echo "$usage" >&2; exit 64; }
here=$(dirname "$0")
ours=app.kubernetes.io/managed-by=lazyscope
# istiod gathers changes for up to 10 s (PILOT_DEBOUNCE_MAX) before it sends them, and proxies take
# seconds for a large mesh. Longer where istiod is slow: pilot_proxy_convergence_time says how slow.
pushSeconds=${REMOVE_PUSH_SECONDS:-30}
# About what 500 workloads take at the controller's usual rate of writes.
waitSeconds=${REMOVE_WAIT_SECONDS:-30}

all=false
if [ "$1" = --all ]; then
  [ $# -eq 1 ] || { echo "$usage" >&2; exit 64; }
  all=true
  set -- $(kubectl get namespaces -l lazyscope.io/mode -o 'jsonpath={.items[*].metadata.name}')
fi

sidecars() { kubectl get sidecars -n "$1" -l $ours -o name 2>/dev/null; }

for namespace; do
  kubectl label namespace "$namespace" lazyscope.io/mode-
  kubectl annotate namespace "$namespace" lazyscope.io/first-call-
done
for namespace; do
  while [ -n "$(sidecars "$namespace")" ] && [ "$waitSeconds" -gt 0 ]; do
    sleep 1
    waitSeconds=$((waitSeconds - 1))
  done
  # No controller did it: there is nobody who would write them again either.
  kubectl delete sidecars -n "$namespace" -l $ours
done
[ $# -eq 0 ] || sleep "$pushSeconds"
for namespace; do
  kubectl delete -n "$namespace" --ignore-not-found \
    envoyfilter/lazyscope wasmplugin/lazyscope wasmplugin/lazyscope-tcp
  # With what users wrote into them; the definition may be gone already.
  kubectl delete workloadscopes -n "$namespace" --all || true
done
$all || exit 0
# Sidecars that no label led to, in namespaces that were left while no controller ran.
kubectl delete sidecars -A -l $ours
kubectl delete --ignore-not-found -k "$here/base"
