#!/usr/bin/env bash
# Fetches the files of others that the pages use, as the npm registry serves them.
# They are in the repository, so builds and tests need no npm: this says where they
# came from. TestFilesOfOthers checks the sums.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# vendor PACKAGE VERSION FOLDER FILE...
vendor() {
  local package=$1 version=$2 into=ui/static/$3-$2
  shift 3
  rm -rf "$work/package"
  (cd "$work" && tar xzf "$(npm pack --silent "$package@$version")")
  mkdir -p "$into"
  (cd "$work/package" && cp LICENSE "$@" "$OLDPWD/$into/")
  chmod 644 "$into"/*
}

vendor uplot 1.6.32 uplot dist/uPlot.iife.min.js dist/uPlot.min.css
vendor htmx.org 2.0.11 htmx dist/htmx.min.js
