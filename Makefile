# `make help` lists the targets. Variables: PYTHON, SOURCE, ARGS, TORCH_SPEC (see CONTRIBUTING.md).
SHELL := /bin/bash
PYTHON ?= python3
SOURCE ?=
ARGS ?=
ACTIVATE := source environment/activate.sh

.DEFAULT_GOAL := help
.PHONY: help setup test test-browser lint demo clip bench bench-gpu soak accuracy train lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s  %s\n", $$1, $$2}'

setup: ## virtual environment, ROS 2, torch, slam3r_ros with its messages, slam3r_lab; quick when nothing changed
	@$(PYTHON) environment/setup_environment.py

test: setup ## all tests, the fast ones first, and at the end the slowest by name (ARGS="-k pose" chooses)
	@$(ACTIVATE) && python -m pytest --durations=15 $(ARGS)

test-browser: setup ## tests of the live page and the app in Chromium, some minutes (CHROMIUM names another program)
	@$(ACTIVATE) && CHROMIUM="$${CHROMIUM:-$$(command -v chromium || command -v chromium-browser)}" \
		python -m pytest test/viewer test/app test/ros/viewer $(ARGS)

lint: setup ## ruff and mypy
	@$(ACTIVATE) && ruff check . && ruff format --check . && mypy

demo: setup ## a clip of a room, or SOURCE (video, image directory, bag), played to the node: a map in demo/
	@$(ACTIVATE) && slam3r_ros demo $(if $(SOURCE),"$(SOURCE)") $(ARGS)

clip: setup ## render the demo's clip again, into slam3r_ros/examples/room (a minute)
	@$(ACTIVATE) && rm -f slam3r_ros/examples/room/rgb.mp4 && slam3r_lab render --video --out slam3r_ros/examples/room

bench: setup ## speed and memory: the node over DDS, every stage, the published sizes (ARGS="long", "loops" ...)
	@$(ACTIVATE) && slam3r_lab bench $(ARGS)

bench-gpu: ## all that needs a GPU, under 8 minutes, with PYTHON's torch; no setup, no ROS
	@$(PYTHON) -m slam3r_lab.benchmarks.gpu $(ARGS)

soak: setup ## long runs of the node and faults on purpose, half an hour (ARGS="messages", "starts" ...)
	@$(ACTIVATE) && slam3r_lab soak $(ARGS)

accuracy: setup ## accuracy of all weights, oracles and baselines; hours (ARGS="--sequences DIR")
	@$(ACTIVATE) && slam3r_lab bench accuracy $(ARGS)

train: setup ## train the embedded weights again; hours (ARGS="--stage i2p" and other options)
	@$(ACTIVATE) && slam3r_lab train $(ARGS)

lock: ## add what environment/*.in name to environment/*.lock (ARGS=--upgrade: all versions anew; needs uv)
	@$(PYTHON) environment/lock.py $(ARGS)

clean: ## remove everything that `make setup` and the tools made
	rm -rf .venv build install log dist demo *.egg-info slam3r_lab/build slam3r_lab/*.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
