# `make help` lists the targets. Variables: PYTHON, SOURCE, ARGS, TORCH_SPEC (see CONTRIBUTING.md).
SHELL := /bin/bash
PYTHON ?= python3
SOURCE ?=
ARGS ?=
ACTIVATE := source environment/activate.sh

.DEFAULT_GOAL := help
.PHONY: help setup test lint demo bench accuracy train lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

setup: ## virtual environment, ROS 2, torch, the package and its messages; quick when nothing changed
	@$(PYTHON) environment/setup_environment.py

test: setup ## set up, then all tests, the fast ones first (ARGS="-k pose" chooses)
	@$(ACTIVATE) && python -m pytest $(ARGS)

lint: setup ## ruff and mypy
	@$(ACTIVATE) && ruff check . && ruff format --check . && mypy

demo: setup ## a camera topic becomes a map, in demo/ (SOURCE=video, image directory or bag)
	@$(ACTIVATE) && slam3r_ros demo $(if $(SOURCE),"$(SOURCE)") $(ARGS)

bench: setup ## speed and memory: the node over DDS, every stage, the published sizes (ARGS="long" and other parts)
	@$(ACTIVATE) && python -m slam3r_lab.benchmarks.run $(ARGS)

bench-gpu: ## all that needs a GPU, under 8 minutes, with PYTHON's torch; no setup, no ROS
	@$(PYTHON) -m slam3r_lab.benchmarks.gpu $(ARGS)

accuracy: setup ## accuracy of all weights, oracles and baselines, in slam3r_lab/benchmarks/accuracy.md; hours (ARGS="--sequences DIR")
	@$(ACTIVATE) && python -m slam3r_lab.benchmarks.accuracy $(ARGS)

train: setup ## train the embedded weights again (hours)
	@$(ACTIVATE) && slam3r_lab train $(ARGS)

lock: ## resolve environment/*.in into environment/*.lock again (needs uv)
	@$(PYTHON) environment/lock.py

clean: ## remove everything that `make setup` and the tools made
	rm -rf .venv build install log dist demo *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
