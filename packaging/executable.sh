#!/bin/sh
# Makes one executable of the bundled command and a Node.js binary, which must be of the version of
# the `node` that runs here, for Linux of any architecture:
#   executable.sh BUNDLE NODE OUTPUT
set -eu
usage='usage: executable.sh BUNDLE NODE OUTPUT'
[ $# -eq 3 ] || { echo "$usage" >&2; exit 64; }
for file in "$1" "$2"; do
  [ -f "$file" ] || { echo "$file: no such file; $usage" >&2; exit 66; }
done
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
# Code caches and snapshots would tie the blob to one architecture.
cat >"$work/config.json" <<JSON
{ "main": "$1", "output": "$work/blob", "disableExperimentalSEAWarning": true, "useCodeCache": false }
JSON
node --experimental-sea-config "$work/config.json" >&2
cp "$2" "$work/executable"
chmod 755 "$work/executable"
# The fuse is a constant of Node.js (doc/api/single-executable-applications.md).
npx --yes postject@1.0.0-alpha.6 "$work/executable" NODE_SEA_BLOB "$work/blob" \
  --sentinel-fuse NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2 >&2
mv "$work/executable" "$3"
