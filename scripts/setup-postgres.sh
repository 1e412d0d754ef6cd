#!/usr/bin/env bash
# Installs PostgreSQL's server, which the demo of the shop and the tests start for
# themselves, and does nothing where it is there already.
set -euo pipefail
source "$(dirname "$0")/packages.sh"

command -v initdb >/dev/null 2>&1 && exit 0
# Clusters are made as they are needed: Debian's package would make one more.
if ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
	quiet=/etc/postgresql-common/createcluster.d/parallax.conf
	if [ "$(id -u)" = 0 ] && [ -d /etc ]; then
		mkdir -p "${quiet%/*}"
		echo 'create_main_cluster = false' >"$quiet"
		trap 'rm -f "$quiet"' EXIT
	fi
	need "initdb postgresql"
fi
