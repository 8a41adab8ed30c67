#!/usr/bin/env bash
# Runs Lighthouse on a page, and fails if a threshold of perf/web/lighthouse.config.js is missed.
#
#   perf/web/run_lighthouse.sh [url]          # default http://localhost:8000
#
# CHROME_PATH names a Chromium; without it Lighthouse looks for an installed one. Needs node (20 or later) and npm. The
# packages of package-lock.json are verified by their hashes, and none of their scripts is run.
set -euo pipefail
cd "$(dirname "$0")"
url="${1:-http://localhost:8000}"
report="$(mktemp)"
trap 'rm -f "$report"' EXIT

# npm writes its own lockfile last: if it is older than the checked-in one, the installation is missing or incomplete
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
  npm ci --ignore-scripts --no-audit --no-fund --silent
fi

node_modules/.bin/lighthouse "$url" \
  --config-path="$PWD/lighthouse.config.js" --output=json --output-path="$report" --quiet --no-enable-error-reporting \
  --chrome-flags="--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"

node check.mjs "$report"
