#!/usr/bin/env bash
# Installs what building, testing and the demo need, and does nothing where it is
# there already. Debian packages come from apt; the ClickHouse engine from npm.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

command -v go >/dev/null 2>&1 || die "Go is missing: install Go $(awk '/^go /{print $2}' go.mod) or newer and put it on PATH"
command -v npm >/dev/null 2>&1 || die "npm is missing: install Node.js with npm (Debian: apt-get install npm); it fetches the ClickHouse engine"

# The race detector that `make test` uses needs a C compiler. Nothing else does.
if ! { command -v gcc >/dev/null 2>&1 && [ -e /usr/include/stdlib.h ]; }; then
	if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
		say "installing gcc and libc6-dev with apt-get"
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev >/dev/null
	elif command -v apt-get >/dev/null 2>&1; then
		die "a C compiler is missing (the race detector needs it); run: sudo apt-get install gcc libc6-dev"
	elif ! command -v cc >/dev/null 2>&1; then
		die "a C compiler is missing (the race detector needs it); install gcc or clang with your system's packages"
	fi
fi

go mod download
bash scripts/setup-libchdb.sh
