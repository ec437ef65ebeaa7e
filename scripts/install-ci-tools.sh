#!/usr/bin/env bash
# What the lanes `shared` and `ci` need besides the packages of the checkout: the independent Delta
# reader, and a disk that can be filled. Fails when something is missing and can not be installed.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install-referee.sh

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
