#!/usr/bin/env bash
# What continuous integration needs besides the packages of the checkout: servers of the other
# versions of PostgreSQL, servers with PostGIS and with pgvector, the independent Delta reader, and a
# disk that can be filled. Fails when something is missing and can not be installed.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install-referee.sh
scripts/install-postgres-versions.sh
scripts/install-pgvector.sh

need() { # program, Debian package
  if command -v "$1" >/dev/null; then return; fi
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "$1 is missing: install the package $2" >&2
    exit 1
  fi
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$2"
}
need unshare util-linux
need mount mount
need pgbouncer pgbouncer

# A distribution's build of 15 where there is one; elsewhere its tests take the one from npm.
if [ "$(id -u)" = 0 ] && [ ! -x /usr/lib/postgresql/15/bin/postgres ] && command -v apt-get >/dev/null; then
  apt-get update -q
  # Its programs are wanted, not a server that runs.
  mkdir -p /etc/postgresql-common
  echo 'create_main_cluster = false' >>/etc/postgresql-common/createcluster.conf
  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends postgresql-15 ||
    echo 'no package postgresql-15 here: its tests take the server from npm' >&2
fi

# Its PostGIS (hundreds of MB). The test that needs it says so where there is none.
if [ "$(id -u)" = 0 ] && [ ! -f /usr/share/postgresql/15/extension/postgis.control ] &&
  [ -x /usr/lib/postgresql/15/bin/postgres ]; then
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends postgresql-15-postgis-3 ||
    echo 'no package postgresql-15-postgis-3 here: the test of PostGIS will fail' >&2
fi
