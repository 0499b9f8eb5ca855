#!/usr/bin/env bash
# Installs moto_server into a cache outside the clone, once, and prints where it is.
set -euo pipefail
cache="${XDG_CACHE_HOME:-$HOME/.cache}/tidegate-ci/moto-5"
if [ ! -x "$cache/bin/moto_server" ]; then
  python3 -m venv "$cache" >&2
  "$cache/bin/pip" install --quiet --disable-pip-version-check "moto[server]==5.*" >&2
fi
echo "$cache/bin/moto_server"
