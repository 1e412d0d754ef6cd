# Parallax. `make` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

.PHONY: help setup build demo test check bench bench-mirror bench-compare bench-pages bench-shop bench-split soak soak-fleet compose-smoke statistics fuzz clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what building, testing and the demo need (idempotent)
	@bash scripts/setup.sh

build: ## build ./bin/parallax
	@mkdir -p bin
	go build -o bin/parallax ./cmd/parallax

demo: setup build ## find planted side effects in two databases, then compare two releases of a real service; ARGS="--for 90s --exit" ends by itself
	@if bash scripts/setup-postgres.sh; then ./bin/parallax demo --shop --for 10s --exit --no-open; \
	else echo "demo: without PostgreSQL the shop is left out"; fi
	@./bin/parallax demo $(ARGS)

test: setup ## run every test, with the race detector and the real engine
	@bash scripts/setup-test.sh
	go test -race -timeout 11m ./...
	cd internal/bench/compare && go test ./...

check: setup ## formatting, vet, staticcheck, tidy modules, and the import rule
	@bash scripts/check.sh

bench: setup ## run the benchmarks (SIZE=1x: once each, as CI does)
	go test -run '^$$' -bench . -benchtime $(or $(SIZE),1s) ./...

bench-mirror: setup ## measure Parallax beside nginx and haproxy, 15 minutes; ARGS="-part throughput -duration 2s" is shorter
	@bash scripts/setup-bench.sh
	go run ./internal/bench $(ARGS)

bench-compare: ## measure the comparison of JSON beside go-cmp, jsondiff and jd, 2 minutes; ARGS="-case 100" is shorter
	@cd internal/bench/compare && go run . $(ARGS)

bench-pages: setup ## measure every page on a store of a million comparisons, a minute (docs/operations.md)
	PAGE_SPEED=1 go test -count 1 -timeout 10m -run '^TestPageSpeed$$' -v ./cmd/parallax

bench-shop: setup ## measure Parallax with both databases of the demo shop, 3 minutes; RATE=200 FOR=10s HOW=tag is shorter
	@bash scripts/setup-postgres.sh
	@for how in $(or $(HOW),tag trace); do SHOP_HOW=$$how SHOP_RATE=$(RATE) SHOP_FOR=$(FOR) go test -count 1 -timeout 20m -run '^TestShopLoad$$' -v ./cmd/parallax; done

bench-split: setup ## take 10 000 users through the steps of each splitter, a minute (docs/split.md)
	@bash scripts/setup-test.sh
	go test -p 1 -run '^$$' -bench 'UsersThroughTheSteps|UsersOfThreeMirrors' -benchtime 1x -timeout 20m ./mirror ./mirror/split/... ./cmd/parallax

soak: setup ## kill and clone databases under load, again and again: COUNT=20 times
	@bash scripts/setup-test.sh
	go test -count $(or $(COUNT),20) -timeout 60m -run 'TestCloneUnderLoad|TestShopsWhose' -v ./cmd/parallax

soak-fleet: setup ## kill each process of a Parallax of several, and Redis, under load: FLEET_SECONDS=180 RATE=1000 (docs/processes.md)
	@bash scripts/setup-test.sh
	FLEET_SECONDS=$(or $(FLEET_SECONDS),180) FLEET_RATE=$(or $(RATE),1000) go test -count 1 -timeout 60m -run TestEachProcessIsKilled -v ./cmd/parallax

compose-smoke: setup ## start all of deploy/compose as plain processes, send shoppers through it, and check what comes of it, half a minute
	@bash scripts/setup-test.sh
	COMPOSE_SMOKE=1 go test -count 1 -timeout 10m -run '^TestComposeSmoke$$' -v ./cmd/parallax

statistics: setup ## the verdict's errors and delays, computed and simulated in full, 8 minutes (docs/verdict.md)
	STATISTICS=1 go test -count 1 -timeout 60m -run 'Against|Exactly|CusumAfter|AYearOf|Watch|ErrorsOf|Blocks|Unpaired' -v ./reports

fuzz: setup ## run each fuzz target for FUZZTIME (default 30s); ONLY=compare keeps to some
	@bash scripts/fuzz.sh $(or $(FUZZTIME),30s) $(ONLY)

clean: ## remove what was built here
	rm -rf bin
