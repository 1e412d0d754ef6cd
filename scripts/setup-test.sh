#!/usr/bin/env bash
# Installs what only the tests need: a C compiler for the race detector, and the
# clients and servers that Parallax is tried with.
set -euo pipefail
source "$(dirname "$0")/packages.sh"

need "cc gcc libc6-dev" "curl curl" "h2load nghttp2-client" "nginx nginx-light" "redis-server redis-server" "haproxy haproxy" "prometheus prometheus" "python3 python3" "chromium chromium"
if ! printf '#include <stdlib.h>' | cc -E - >/dev/null 2>&1; then
	need "no-libc-headers libc6-dev"
fi

bash "$(dirname "$0")/setup-postgres.sh"
bash "$(dirname "$0")/setup-axe.sh"
