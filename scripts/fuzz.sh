#!/usr/bin/env bash
# Runs every fuzz target of the module, one after the other, for the given time
# each. Targets are found, not listed. After a finding the others still run; the
# exit code then is 1. A second argument keeps to targets whose name or folder it
# matches: scripts/fuzz.sh 10m compare
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-30s}
only=${2:-.}

mapfile -t targets < <(grep -rHoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . |
	sed -E 's|^(.*)/[^/]+:func (.*)$|\1 \2|' | sort | grep -E -- "$only")
found=()
for i in "${!targets[@]}"; do
	read -r folder target <<<"${targets[i]}"
	printf 'fuzz: %d of %d: %s in %s for %s\n' "$((i + 1))" "${#targets[@]}" "$target" "$folder" "$time"
	go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$folder" || found+=("$target in $folder")
done
if [ ${#found[@]} -gt 0 ]; then
	printf 'fuzz: findings in %s\n' "${found[@]}" >&2
	exit 1
fi
printf 'fuzz: %d targets, no finding\n' "${#targets[@]}"
