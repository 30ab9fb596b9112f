#!/bin/sh
# Pins the filter that the agents may load: pin-filter.sh FILTER.wasm
# Run it whenever the filter changes; the controller must serve the very same bytes.
set -eu
digest=$(sha256sum "${1:?usage: pin-filter.sh FILTER.wasm}" | cut -d' ' -f1)
sed -i "s/^filterSha256=.*/filterSha256=$digest/" "$(dirname "$0")/settings.env"
echo "$digest"
