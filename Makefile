# Every target does its own set-up on a fresh Debian machine; `make` alone lists them.
# ARGS goes to the program behind a target: make demo ARGS="--port 9000", make test ARGS="-k ingest".

BIN := .venv/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test test-long check format bench docs lock screenshots clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Run a server, a simulated fleet of units and the live page; prints the link to open
	@tools/setup runtime
	@$(BIN)/sensorcast demo $(ARGS)

test: ## Run the tests
	@tools/setup dev
	@$(BIN)/python -m pytest -q -m "not long" $(ARGS)

test-long: ## Run the tests that take minutes each
	@tools/setup dev
	@$(BIN)/python -m pytest -q -m long $(ARGS)

check: ## Check format, lint, types, layers, generated docs, budgets, twins, texts
	@tools/setup dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/docs.py --check
	$(BIN)/python tools/check_twins.py
	$(BIN)/python tools/check_budget.py
	$(BIN)/python tools/check_text.py

format: ## Format the code and fix what the linter can fix
	@tools/setup dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: ## Run the measurements of bench/ and print their tables
	@tools/setup dev
	@$(BIN)/python -m bench $(ARGS)

docs: ## Write docs/reference/ anew from the tables in the code
	@tools/setup dev
	@$(BIN)/python tools/docs.py

lock: ## Write the lock files anew; ARGS=--upgrade takes newer versions
	@tools/setup dev
	@tools/lock $(ARGS)

screenshots: ## Take the pictures of docs/images/ from a running demo
	@tools/setup dev
	@$(BIN)/python tools/screenshots.py $(ARGS)

clean: ## Remove what set-up, tests and checks made (not your data)
	@rm -rf .venv node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dist build
	@find src tests tools bench examples -name __pycache__ -type d -prune -exec rm -rf {} +
