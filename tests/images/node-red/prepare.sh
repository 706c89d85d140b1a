#!/bin/bash
# prepare.sh VERSION (in the build context): installs exactly what VERSION's lock file names.
#
# It runs on the host: no image needs npm. No package here needs its install scripts.
set -euo pipefail
mv "$1"/package.json "$1"/package-lock.json .
npm ci --omit=dev --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
