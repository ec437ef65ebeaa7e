#!/usr/bin/env bash
# Installs the independent Delta reader of the acceptance tests (about 550 MB, Linux or macOS).
# Not `npm ci`: that also wants every other platform's library in the lock, and not every registry
# has them. Versions and checksums are the lock's all the same.
set -euo pipefail
cd "$(dirname "$0")/../test/acceptance/referee"
npm install --no-save --no-audit --no-fund --ignore-scripts --loglevel=error
