#!/usr/bin/env bash
# Installs what only the tests need: a C compiler for the race detector.
set -euo pipefail

if command -v cc >/dev/null 2>&1 && printf '#include <stdlib.h>' | cc -E - >/dev/null 2>&1; then
	exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
	echo 'setup: a C compiler is missing (the race detector needs it); install gcc or clang with your packages' >&2
	exit 1
fi
if [ "$(id -u)" != 0 ]; then
	echo 'setup: a C compiler is missing (the race detector needs it); run: sudo apt-get install gcc libc6-dev' >&2
	exit 1
fi
echo 'setup: installing gcc and libc6-dev with apt-get'
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev >/dev/null
