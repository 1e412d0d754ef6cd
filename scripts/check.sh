#!/usr/bin/env bash
# Everything that can be said about the code without running it.
set -euo pipefail
cd "$(dirname "$0")/.."

unformatted=$(git ls-files -z '*.go' | xargs -0 gofmt -l)
if [ -n "$unformatted" ]; then
	printf 'check: gofmt would change:\n%s\n' "$unformatted" >&2
	exit 1
fi
go vet ./...
go tool staticcheck ./...
go mod tidy -diff
(cd internal/bench/compare && go vet ./... && go mod tidy -diff)
go test -count=1 -run 'TestImportsPointOneWay|TestRootAndCompareArePure' .
echo 'check: good'
