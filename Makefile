# The verbs of the project. `make` alone lists them.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup run_tests test lint start_infra stop_infra local_run launch_ngrok secrets init start up stop down \
	rebuild logs

PORT ?= 8000
COMPOSE = docker compose --env-file .env.docker
RANDOM = LC_ALL=C tr -dc A-Za-z0-9 </dev/urandom | head -c 43

help: ## List the verbs
	@grep -hE '^[a-z_ ]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z_ ]+):.*## (.*)/\1|\2/' | \
		while IFS='|' read -r verb what; do printf '%-14s %s\n' "$$verb" "$$what"; done

# --- On this machine ---------------------------------------------------------------------------------

setup: ## Install uv if it is missing, Python and all dependencies
	@command -v uv >/dev/null 2>&1 || python3 -m pip install uv
	uv sync

local_run: ## Run everything here: on the stores of start_infra if they run, else on embedded ones
	@if [ -f .env.docker ] && $(COMPOSE) ps --quiet --status running postgres 2>/dev/null | grep -q .; then \
		eval "$$(grep '^STACK_' .env.docker)"; \
		export DATABASE_URL="postgresql://sixlane:$$STACK_DB_PASSWORD@127.0.0.1:$${STACK_DB_PORT:-5432}/sixlane"; \
		export REDIS_URL="redis://:$$STACK_VALKEY_PASSWORD@127.0.0.1:$${STACK_VALKEY_PORT:-6379}/0"; \
	fi; \
	exec uv run sixlane up

launch_ngrok: ## Open a tunnel to port 8000 (PORT=…); set PUBLIC_URL to its address before the start
	ngrok http $(PORT)

run_tests test: ## Run the tests
	uv run pytest

lint: ## Check style, types and the import contracts
	uv run ruff check .
	uv run ruff format --check .
	uv run pyright
	uv run lint-imports --no-logo

# --- In containers -----------------------------------------------------------------------------------

secrets: .env.docker ## Write the passwords and the key ring of the stack to .env.docker, unless it exists
	@[ -z "$$(tail -c 1 .env.docker)" ] || echo >>.env.docker
	@for name in STACK_KEYS STACK_DB_PASSWORD STACK_VALKEY_PASSWORD; do \
		grep -q "^$$name=." .env.docker || { \
			prefix=; if [ $$name = STACK_KEYS ]; then prefix=k1:; fi; \
			echo "$$name=$$prefix$$($(RANDOM))" >>.env.docker; echo "Wrote $$name to .env.docker"; }; \
	done

.env.docker:
	@(umask 077; echo '# Settings of the stack in docker-compose.yml; .env.example lists all of them.' >.env.docker)

start_infra: secrets ## Start PostgreSQL and Valkey alone, for local_run
	$(COMPOSE) up --detach --wait postgres valkey

stop_infra: secrets ## Stop PostgreSQL and Valkey
	$(COMPOSE) stop postgres valkey

start up: secrets ## Build and start the whole stack; returns when it is healthy
	$(COMPOSE) up --build --detach --wait

init: secrets ## Make the first workspace, its owner and an API key, shown once
	$(COMPOSE) run --rm --no-deps api init

stop: secrets ## Stop the stack; its data and containers stay
	$(COMPOSE) stop

down: secrets ## Stop the stack and remove its containers; its data stays
	$(COMPOSE) down

rebuild: secrets ## Build the image anew, without the cache, and restart what it changes
	$(COMPOSE) build --no-cache --pull
	$(COMPOSE) up --detach --wait

logs: secrets ## Follow the logs of the stack
	$(COMPOSE) logs --follow --tail 100
