"""What a repository uses of ROS and a distribution does not have."""

from __future__ import annotations

import inspect
import queue
import subprocess
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from slam3r_lab.distributions.sources import ANYTHING, Class, Distribution
from slam3r_lab.distributions.uses import MethodUse, Use, methods_in, uses_in

FOLDERS = ("slam3r_ros", "launch")
"""The folders of the repository that run on a robot."""
_STANDARD_CLASSES = (queue.Queue, threading.Thread, threading.Event, Future, subprocess.Popen, Path)
"""Classes of the standard library whose methods take keywords."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was compared."""

    uses: int
    """Number of different names, attributes and keywords."""
    methods: int
    """Number of different calls of methods of ROS with keywords, of objects whose class the syntax does not tell."""
    unknown: tuple[str, ...]
    """What the sources do not tell, because it is made by a compiler or comes from a package that is not there."""
    missing: tuple[str, ...]
    """What the distribution does not have, with the place of its use."""
    optional: tuple[str, ...]
    """What it does not have and what the repository does without."""


def check(repository: Path, distribution: Distribution) -> Report:
    """Compare what the repository uses with what the distribution has."""
    paths = sorted(path for folder in FOLDERS for path in (repository / folder).rglob("*.py"))
    names, calls = uses_in(paths)
    own = methods_in(paths)
    packages = {name.split(".")[0] for name in distribution.modules}
    missing, optional, unknown = list[str](), list[str](), list[str]()
    for use, place in names.items():
        if use.module.split(".")[0] not in packages:
            unknown.append(str(use))
            continue
        outcome = _has(use, distribution)
        if outcome is None:
            unknown.append(str(use))
        elif not outcome:
            (optional if use.is_optional else missing).append(f"{use} ({place})")
    of_ros = {call: place for call, place in calls.items() if call.method not in own}
    of_ros = {call: place for call, place in of_ros.items() if distribution.methods(call.method)}
    of_ros = {call: place for call, place in of_ros.items() if not _is_of_standard_library(call)}
    for call, place in of_ros.items():
        missing += [f"{call.method}({word}=) ({place})" for word in _refused(call, distribution)]
    return Report(len(names), len(of_ros), tuple(unknown), tuple(missing), tuple(optional))


def _has(use: Use, distribution: Distribution) -> bool | None:
    """Whether a distribution has what is used; None where its sources do not tell."""
    if (is_there := distribution.has(use.module, use.name)) is not True:
        return is_there
    if not use.name:
        if not use.attribute:
            return True
        if (is_there := distribution.has(use.module, use.attribute)) is not True:
            return is_there
        use = Use(use.module, use.attribute, "", use.keyword)
    found = distribution.resolve(use.module, use.name)
    if found is None:
        return True if not (use.attribute or use.keyword) else None
    if use.attribute and isinstance(found, Class):
        attributes = distribution.attributes_of(found)
        if attributes is None or use.attribute not in attributes:
            return None if attributes is None else False
    if not use.keyword:
        return True
    parameters = distribution.parameters_of(found, use.attribute)
    return None if parameters is None else use.keyword in parameters or ANYTHING in parameters


def _is_of_standard_library(call: MethodUse) -> bool:
    """Whether a class of the standard library has such a method, as ``get(timeout=)`` of a queue."""
    methods = [getattr(kind, call.method) for kind in _STANDARD_CLASSES if hasattr(kind, call.method)]
    return any(call.keywords <= set(inspect.signature(method).parameters) for method in methods)


def _refused(call: MethodUse, distribution: Distribution) -> list[str]:
    """Return the keywords that no method of that name takes together with the others."""
    best: set[str] | None = None
    for method in distribution.methods(call.method):
        lacking = set() if ANYTHING in method.parameters else set(call.keywords - method.parameters)
        best = lacking if best is None or len(lacking) < len(best) else best
    return sorted(best or ())
