#!/bin/sh
# Removes Lazyscope in an order in which no call fails:
#   remove.sh NAMESPACE...   from these namespaces
#   remove.sh --all          from all namespaces, then the system itself
#
# Envoy replaces its outbound listeners when the filter is removed: their connections are drained,
# and closed within drainDuration (45 s). manifests/components/on-restart describes how to avoid
# this.
#
# The parts that proxies need go last: first the controller (or this script, if no controller runs)
# restores full configuration, then the filter is removed, then the companions and the gateway.
set -eu
usage='usage: remove.sh NAMESPACE... | remove.sh --all'
[ $# -gt 0 ] || { echo "$usage" >&2; exit 64; }
here=$(dirname "$0")
ours=app.kubernetes.io/managed-by=lazyscope
# How long to wait for the controller: enough for about 500 workloads at its default rate of writes.
waitSeconds=${REMOVE_WAIT_SECONDS:-30}
# Timeout for proxies to show that they have istiod's last push. Together with the following pause
# it is shorter than the minute for which the companions keep answering after the label is removed.
pushSeconds=${REMOVE_PUSH_SECONDS:-40}
# Time for routes, which follow clusters and listeners, and for an earlier push: istiod debounces
# changes for up to 10 s (PILOT_DEBOUNCE_MAX).
settleSeconds=10

all=false
if [ "$1" = --all ]; then
  [ $# -eq 1 ] || { echo "$usage" >&2; exit 64; }
  all=true
  # A terminating namespace may be gone before its turn and needs no removal.
  set -- $(kubectl get namespaces -l lazyscope.io/mode --field-selector status.phase=Active -o 'jsonpath={.items[*].metadata.name}')
fi

sidecars() { kubectl get sidecars -n "$1" -l $ours -o name 2>/dev/null; }

# Prints a line for each scope: NOW NAMESPACE LABELS.
selectors() {
  kubectl get sidecars -n "$1" -l $ours -o go-template="{{range .items}}$(date +%s) $1 {{range \$k, \$v := .spec.workloadSelector.labels}}{{\$k}}={{\$v}},{{end}}{{\"\n\"}}{{end}}"
}

# Prints the running proxies of a scope, one per line: SINCE/NAMESPACE/POD.
proxies() {
  kubectl get pods -n "$2" -l "${3}security.istio.io/tlsMode=istio" --field-selector status.phase=Running \
    -o go-template="{{range .items}}$1/$2/{{.metadata.name}}{{\"\n\"}}{{end}}"
}

# Whether SINCE/NAMESPACE/POD has updated clusters and listeners since then, by the metrics of its
# Envoy. A deleted pod needs no update.
isFull() {
  since=${1%%/*}
  pod=${1##*/}
  namespace=${1#*/}
  namespace=${namespace%/*}
  kubectl get --raw "/api/v1/namespaces/$namespace/pods/$pod:15090/proxy/stats/prometheus?filter=ds.update_time" 2>/dev/null |
    awk -v since="$since" '
      /^envoy_(cluster_manager_cds|listener_manager_lds)_update_time/ { taken += $2 >= since * 1000 }
      END { exit taken < 2 }' ||
    ! kubectl get pod -n "$namespace" "$pod" -o name >/dev/null 2>&1
}

scopes=''
for namespace; do
  scopes="$scopes$(selectors "$namespace")
"
  kubectl label namespace "$namespace" lazyscope.io/mode-
  kubectl annotate namespace "$namespace" lazyscope.io/first-call-
done
for namespace; do
  while [ -n "$(sidecars "$namespace")" ] && [ "$waitSeconds" -gt 0 ]; do
    sleep 1
    waitSeconds=$((waitSeconds - 1))
  done
  # If no controller has removed them, none will write them again.
  kubectl delete sidecars -n "$namespace" -l $ours
done

waiting=$(echo "$scopes" | while read -r since namespace labels; do
  [ -z "$since" ] || proxies "$since" "$namespace" "$labels"
done)
deadline=$(($(date +%s) + pushSeconds))
while :; do
  waiting=$(for proxy in $waiting; do isFull "$proxy" || echo "$proxy"; done)
  [ -n "$waiting" ] && [ "$(date +%s)" -lt "$deadline" ] || break
  sleep 1
done
[ -z "$waiting" ] || echo "continuing although these proxies have not confirmed full configuration:" $waiting >&2
[ $# -eq 0 ] || sleep "$settleSeconds"

[ $# -eq 0 ] || echo 'removing the filter: proxies replace their outbound listeners and close the old connections within drainDuration (45 s)'
for namespace; do
  kubectl delete -n "$namespace" --ignore-not-found \
    envoyfilter/lazyscope wasmplugin/lazyscope wasmplugin/lazyscope-tcp
  # Including the settings of users; the definition may be deleted already.
  kubectl delete workloadscopes -n "$namespace" --all || true
done
$all || exit 0
# Sidecars of namespaces that lost their label while no controller ran.
kubectl delete sidecars -A -l $ours
kubectl delete --ignore-not-found -k "$here/base"
