#!/bin/sh
# Packs the command for krew, and prints the manifest that names the archives:
#   krew.sh VERSION DOWNLOADS BUNDLE LINUX_AMD64 LINUX_ARM64 FOLDER >lazyscope.yaml
# VERSION as in package.json, DOWNLOADS the address under which the archives will be found, BUNDLE the
# bundled command, then the two executables, and the folder for the archives. macOS gets the bundle,
# because an executable that was changed there must be signed again on macOS.
set -eu
usage='usage: krew.sh VERSION DOWNLOADS BUNDLE LINUX_AMD64 LINUX_ARM64 FOLDER'
[ $# -eq 6 ] || { echo "$usage" >&2; exit 64; }
case $1 in
  [0-9]*.[0-9]*.[0-9]*) ;;
  *) echo "'$1' is no version such as 0.1.0; $usage" >&2; exit 64 ;;
esac
case $2 in
  https://*) ;;
  *) echo "'$2' is no https address; $usage" >&2; exit 64 ;;
esac
root=$(dirname "$0")/..
version=$1 downloads=$2 folder=$6
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
cp "$root/LICENSE" "$work/"
epoch=${SOURCE_DATE_EPOCH:-0}

platforms=
# pack OS ARCHITECTURE FILE
pack() {
  archive=kubectl-lazyscope_$1_$2.tar.gz
  cp "$3" "$work/kubectl-lazyscope"
  chmod 755 "$work/kubectl-lazyscope"
  tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$epoch" -cf - \
    LICENSE kubectl-lazyscope | gzip -n >"$folder/$archive"
  sum=$(sha256sum "$folder/$archive" | cut -d' ' -f1)
  platforms="$platforms
    - selector: {matchLabels: {os: $1, arch: $2}}
      uri: $downloads/$archive
      sha256: $sum
      bin: kubectl-lazyscope"
}

pack linux amd64 "$4"
pack linux arm64 "$5"
pack darwin amd64 "$3"
pack darwin arm64 "$3"

cat <<YAML
apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: lazyscope
spec:
  version: v$version
  homepage: ${downloads%/releases/*}
  shortDescription: Narrow, explain and examine Istio sidecars
  description: |
    Shows what Lazyscope saves in an Istio mesh, explains why a host is in the scope of a workload
    and where a first call goes, recommends Sidecars from access logs, Prometheus or learned
    scopes, advises on discovery, istiod and resources of sidecars, and examines mesh and control
    plane. Most of it works without Lazyscope in the cluster.
  caveats: |
    On macOS it needs Node.js 20.19 or newer in PATH; on Linux it needs nothing.
  platforms:$platforms
YAML
