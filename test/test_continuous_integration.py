"""The workflow and the hooks run what README and Makefile promise."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


def test_every_distribution_that_the_readme_names_is_in_the_workflow() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    named = re.search(r"ROS 2 (.+?) or (\w+) ", (ROOT / "README.md").read_text())
    assert named is not None
    distributions = [*named[1].split(", "), named[2]]
    assert jobs["distribution"]["strategy"]["matrix"]["distribution"] == [name.lower() for name in distributions]
    steps = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
    assert sum("make test" in step for step in steps) == sum("make setup" in step for step in steps) == len(jobs)


def test_the_hooks_are_those_of_make_lint() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    lint = re.search(r"^lint:.*\n\t@\$\(ACTIVATE\) && (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert lint is not None
    commands = [re.sub(r"^.*activate\.sh && (.*)'$", r"\1", hook["entry"]) for hook in hooks]
    assert commands == lint[1].split(" && ")
