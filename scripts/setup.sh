#!/usr/bin/env bash
# Installs what building and the demo need, and does nothing where it is there
# already: Go modules, and the ClickHouse engine from npm.
set -euo pipefail
cd "$(dirname "$0")/.."

die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

command -v go >/dev/null 2>&1 || die "Go is missing: install Go $(awk '/^go /{print $2}' go.mod) or newer and put it on PATH"
command -v npm >/dev/null 2>&1 || die "npm is missing: install Node.js with npm (Debian: apt-get install npm); it fetches the ClickHouse engine"

go mod download
bash scripts/setup-libchdb.sh
