#!/usr/bin/env bash
# Installs the independent Delta reader of the acceptance tests (about 550 MB, Linux or macOS).
set -euo pipefail
cd "$(dirname "$0")/../test/acceptance/referee"
npm ci --no-audit --no-fund
