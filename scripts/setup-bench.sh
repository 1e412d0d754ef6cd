#!/usr/bin/env bash
# Installs what only `make bench-mirror` needs: wrk, nginx and haproxy.
set -euo pipefail
source "$(dirname "$0")/packages.sh"

need "wrk wrk" "nginx nginx-light" "haproxy haproxy"
