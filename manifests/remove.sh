#!/bin/sh
# Takes Lazyscope out, in the order in which no call fails:
#   remove.sh NAMESPACE...   out of these namespaces
#   remove.sh --all          out of all, and then the system itself
#
# Envoy replaces its outbound listeners when the filter goes: what is open on them is drained, and cut after
# drainDuration (45 s). manifests/components/on-restart says how to come and go without.
#
# What proxies rely on goes last: first the controller gives them full configuration (or, where none
# is left to do it, this script), then the filter goes, then the companions and the gateway.
set -eu
usage='usage: remove.sh NAMESPACE... | remove.sh --all'
[ $# -gt 0 ] || { echo "$usage" >&2; exit 64; }
here=$(dirname "$0")
ours=app.kubernetes.io/managed-by=lazyscope
# How long to wait for the controller: about what 500 workloads take at its usual rate of writes.
waitSeconds=${REMOVE_WAIT_SECONDS:-30}
# Timeout for proxies to show that they have istiod's last push. Together with the following pause it is
# shorter than the minute for which the companions keep answering after the label is removed.
pushSeconds=${REMOVE_PUSH_SECONDS:-40}
# For routes, which follow clusters and listeners, and for an earlier push: istiod debounces changes
# for up to 10 s (PILOT_DEBOUNCE_MAX).
settleSeconds=10

all=false
if [ "$1" = --all ]; then
  [ $# -eq 1 ] || { echo "$usage" >&2; exit 64; }
  all=true
  # One that is being deleted may be gone before its turn comes, and needs none.
  set -- $(kubectl get namespaces -l lazyscope.io/mode --field-selector status.phase=Active -o 'jsonpath={.items[*].metadata.name}')
fi

sidecars() { kubectl get sidecars -n "$1" -l $ours -o name 2>/dev/null; }

# A line for each scope: NOW NAMESPACE LABELS.
selectors() {
  kubectl get sidecars -n "$1" -l $ours -o go-template="{{range .items}}$(date +%s) $1 {{range \$k, \$v := .spec.workloadSelector.labels}}{{\$k}}={{\$v}},{{end}}{{\"\n\"}}{{end}}"
}

# Running proxies of a scope, a line for each: SINCE/NAMESPACE/POD.
proxies() {
  kubectl get pods -n "$2" -l "${3}security.istio.io/tlsMode=istio" --field-selector status.phase=Running \
    -o go-template="{{range .items}}$1/$2/{{.metadata.name}}{{\"\n\"}}{{end}}"
}

# Whether SINCE/NAMESPACE/POD has taken clusters and listeners since then, by what its Envoy says on
# the port of its metrics. A pod that is gone needs none.
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
  # No controller did it: there is nobody who would write them again either.
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
[ -z "$waiting" ] || echo "going on without word of full configuration from" $waiting >&2
[ $# -eq 0 ] || sleep "$settleSeconds"

[ $# -eq 0 ] || echo 'the filter goes: proxies replace their outbound listeners, and end what is open on them after drainDuration (45 s)'
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
