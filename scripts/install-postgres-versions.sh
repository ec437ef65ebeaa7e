#!/usr/bin/env bash
# Installs the PostgreSQL servers that only `npm run test:pg-versions` needs (13, 14, 16 and 17,
# about 230 MB, no root). 18 and 15 come with the packages of the checkout. Versions and checksums
# are the lock's; not `npm ci`, which also wants every other platform's programs in the lock.
set -euo pipefail
cd "$(dirname "$0")/../test/postgres-versions"
npm install --no-save --no-audit --no-fund --loglevel=error
