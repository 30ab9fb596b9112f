#!/bin/sh
# Pins the filter that pilot-agents may load: pin-filter.sh FILTER.wasm
# Run it whenever the filter changes. The controller must serve the same bytes.
set -eu
filter=${1:?usage: pin-filter.sh FILTER.wasm}
settings=$(dirname "$0")/settings.env
# macOS has only shasum.
digest=$({ sha256sum "$filter" 2>/dev/null || shasum -a 256 "$filter"; } | cut -d' ' -f1)
[ -n "$digest" ] || { echo "no digest of $filter" >&2; exit 1; }
sed -i.bak "s/^filterSha256=.*/filterSha256=$digest/" "$settings"
rm "$settings.bak"
echo "$digest"
