#!/usr/bin/env bash
# Installs the readers and writers that `main.rs` compares with into a cache outside the clone, once, and prints their Python.
set -euo pipefail
cache="${XDG_CACHE_HOME:-$HOME/.cache}/tidegate-ci/interop-1"
if [ ! -e "$cache/installed" ]; then
  python3 -m venv "$cache" >&2
  "$cache/bin/pip" install --quiet --disable-pip-version-check \
    pyarrow==26.0.1 duckdb==2.0.1 fastavro==1.13.1 cramjam==2.14.0 backports.zstd==1.8.0 >&2
  touch "$cache/installed"
fi
echo "$cache/bin/python"
