#!/bin/sh
# Names the images of a release by digest, for kustomize and for the charts that are made from it:
#   pin-images.sh COMPANION@sha256:DIGEST BYPASS@sha256:DIGEST
set -eu
usage='usage: pin-images.sh COMPANION@sha256:DIGEST BYPASS@sha256:DIGEST'
[ $# -eq 2 ] || { echo "$usage" >&2; exit 64; }
here=$(dirname "$0")

pin() {
  name=${2%@*}
  digest=${2#*@}
  case $digest in
    sha256:????????????????????????????????????????????????????????????????) ;;
    *) echo "'$2' names no digest; $usage" >&2; exit 64 ;;
  esac
  awk -v name="$name" -v digest="$digest" '
    /^    newTag: / { print "    newName: " name; print "    digest: " digest; done = 1; next }
    { print }
    END { exit !done }' "$1" >"$1.pinned" || { rm "$1.pinned"; echo "$1 has no tag to replace" >&2; exit 1; }
  mv "$1.pinned" "$1"
}

pin "$here/base/kustomization.yaml" "$1"
pin "$here/components/bypass/kustomization.yaml" "$2"
