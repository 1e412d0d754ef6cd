#!/usr/bin/env bash
# Installs what only the tests need: a C compiler for the race detector, and the
# clients and servers that Parallax is tried with.
set -euo pipefail

# command and the Debian package that has it
needs=(
	"cc gcc libc6-dev"
	"curl curl"
)

packages=()
for need in "${needs[@]}"; do
	read -r command list <<<"$need"
	command -v "$command" >/dev/null 2>&1 || packages+=($list)
done
if command -v cc >/dev/null 2>&1 && ! printf '#include <stdlib.h>' | cc -E - >/dev/null 2>&1; then
	packages+=(libc6-dev)
fi
if [ ${#packages[@]} = 0 ]; then
	exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
	echo "setup: the tests need what Debian has in the packages ${packages[*]}; install it with your packages" >&2
	exit 1
fi
if [ "$(id -u)" != 0 ]; then
	echo "setup: the tests need more packages; run: sudo apt-get install ${packages[*]}" >&2
	exit 1
fi
echo "setup: installing ${packages[*]} with apt-get"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
