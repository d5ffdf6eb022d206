# make demo: everything once, on the bundled text.  make test: the tests.  Neither needs anything but Python and Java.
# Overrides: make demo tables.format=delta  or  make demo ARGS="tables.format=delta tables.root=/tmp/demo"
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
DOTTED := $(foreach o,$(MAKEOVERRIDES),$(if $(findstring .,$(firstword $(subst =, ,$(o)))),$(o)))
ARGS ?=
TESTS ?= tests
WORKERS ?= 2

.PHONY: demo test test-slow test-platforms bench arms lint wheel clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   score, mask, export, train and report on the bundled text"
	@echo "make test   run the tests        make lint   ruff and pyright"
	@echo "make test-slow  the tests that take minutes each     make test-platforms  clusters, Spark Connect, S3, Airflow"
	@echo "make bench  measure against the common alternatives; MEGATRON_LM=PATH names a checkout of Megatron-LM"
	@echo "make arms   four arms and a mix on your text: CORPUS='path/*.parquet' TOXIC='path/*.parquet'"
	@echo "make wheel  build the wheel      make clean  remove what these made"

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v[:2] <= (3, 12) else "tokensieve needs Python 3.11 or 3.12, not %d.%d" % v[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[spark,score,transformers,claude,sae,pretrain,fast,dev]'
	@touch $@

demo: $(VENV)/installed
	$(BIN)/tokensieve demo --config demo $(DOTTED) $(ARGS)

test: $(VENV)/installed
	$(BIN)/python -m pytest -m 'not slow and not platform' -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS)

test-slow: $(VENV)/installed
	$(BIN)/python -m pytest -m 'slow and not platform' -n $(WORKERS) --dist loadfile --timeout 3600 $(TESTS)

test-platforms: $(VENV)/installed
	$(BIN)/python -m pytest -m platform --timeout 1800 $(TESTS)

bench: $(VENV)/installed
	$(BIN)/python -m tests.bench

# Scored once; every run is measured on the same labels. Each command is one of docs/training.md.
SIEVE := $(BIN)/tokensieve
DROP := --config arms tables.variant=drop policies.medicine.rule.action=drop policies.medicine.rule.drop_share=0.1 export.scores=null
MIXED := --config arms tables.root=out/arms-toxic source.path="$(TOXIC)"
RUNS := $(addprefix out/arms/runs/,none mask hide drop $(if $(TOXIC),toxic_10))

arms: $(VENV)/installed
	@test -n "$(CORPUS)" || { echo "name the text: make arms CORPUS='path/*.parquet' [TOXIC='path/*.parquet']"; exit 2; }
	$(SIEVE) score --config arms source.path="$(CORPUS)"
	$(SIEVE) mask --config arms && $(SIEVE) export --config arms
	$(SIEVE) mask $(DROP) && $(SIEVE) export $(DROP)
	$(SIEVE) pretrain train --config arms pretrain.filter.mode=none pretrain.out=out/arms/runs/none
	$(SIEVE) pretrain train --config arms pretrain.filter.mode=mask pretrain.out=out/arms/runs/mask
	$(SIEVE) pretrain train --config arms pretrain.filter.mode=hide pretrain.out=out/arms/runs/hide
	$(SIEVE) pretrain train $(DROP) pretrain.filter.mode=none pretrain.out=out/arms/runs/drop
ifneq ($(TOXIC),)
	$(SIEVE) score $(MIXED) && $(SIEVE) mask $(MIXED) && $(SIEVE) export $(MIXED)
	$(SIEVE) mix plan --config mix/toxic_10 clean.tables=out/arms sources.toxic.tables=out/arms-toxic sources.toxic.repeats=allow
	$(SIEVE) mix write --config mix/toxic_10 clean.tables=out/arms sources.toxic.tables=out/arms-toxic sources.toxic.repeats=allow
	$(SIEVE) pretrain train --config arms pretrain.shards=out/mix/toxic_10 pretrain.filter.mode=none pretrain.out=out/arms/runs/toxic_10
endif
	$(SIEVE) pretrain compare $(RUNS)

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

wheel: $(VENV)/installed
	$(BIN)/python -m build --wheel --no-isolation

clean:
	rm -rf $(VENV) build dist out *.egg-info .pytest_cache .ruff_cache .hypothesis
