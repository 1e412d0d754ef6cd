#!/usr/bin/env bash
# Puts axe-core, with which the browser tests look for what keeps people out of a
# page, into a cache folder. Only tests read it.
set -euo pipefail
source "$(dirname "$0")/packages.sh"

version=4.14.1
sum=29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c
into=${XDG_CACHE_HOME:-$HOME/.cache}/parallax-tests/axe-core-$version
[ ! -f "$into/axe.min.js" ] || exit 0

need "npm npm"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack --silent "axe-core@$version" >/dev/null && tar xzf axe-core-*.tgz package/axe.min.js)
echo "$sum  $work/package/axe.min.js" | sha256sum --quiet --check
mkdir -p "$into"
mv "$work/package/axe.min.js" "$into/axe.min.js"
