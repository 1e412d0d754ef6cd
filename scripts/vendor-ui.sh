#!/usr/bin/env bash
# Fetches the files of others that the pages use, as the npm registry serves them.
# They are in the repository, so builds and tests need no npm: this says where they
# came from. TestFilesOfOthers checks the sums.
set -euo pipefail
cd "$(dirname "$0")/.."

version=1.6.32
into=ui/static/uplot-$version
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack --silent "uplot@$version" >/dev/null && tar xzf uplot-*.tgz)
mkdir -p "$into"
cp "$work/package/LICENSE" "$work/package/dist/uPlot.iife.min.js" "$work/package/dist/uPlot.min.css" "$into/"
chmod 644 "$into"/*
