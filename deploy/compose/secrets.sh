#!/usr/bin/env bash
# Makes the passwords and tokens of compose.yaml, as files in secrets/ (or the folder that
# is given), and leaves those that are there. Containers of other users read them, so the
# files are open and their folder is not.
set -euo pipefail
dir=${1:-$(dirname "$0")/secrets}
mkdir -p "$dir"
chmod 700 "$dir"

random() { head -c 32 /dev/urandom | base64 | tr -d '\n=' | tr '/+' '_-'; }
sha256() { printf %s "$1" | sha256sum | cut -d' ' -f1; }
keep() { [ -e "$dir/$1" ] || printf %s "$2" >"$dir/$1"; }

for each in redis-password clickhouse-password postgres-password grafana-password token-admin token-prometheus token-ci; do
	keep "$each" "$(random)"
done
keep pgpass "*:*:*:shop:$(cat "$dir/postgres-password")
"
keep redis-acl "user default off
user parallax on #$(sha256 "$(cat "$dir/redis-password")") ~parallax:* ~{parallax:* &parallax:* &{parallax:* +@all
"
keep tokens.yaml "tokens:
- { name: admin, role: admin, sha256: $(sha256 "$(cat "$dir/token-admin")") }
- { name: prometheus, role: viewer, sha256: $(sha256 "$(cat "$dir/token-prometheus")") }
- { name: ci-shop, role: ci, sha256: $(sha256 "$(cat "$dir/token-ci")"), services: [shop] }
"
chmod 644 "$dir"/*
