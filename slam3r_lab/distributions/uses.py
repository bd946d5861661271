"""What a repository's Python files use of ROS packages, found in their syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGES = frozenset(
    {
        "builtin_interfaces", "diagnostic_msgs", "geometry_msgs", "launch", "launch_ros", "lifecycle_msgs", "nav_msgs",
        "rcl_interfaces", "rclpy", "rosgraph_msgs", "sensor_msgs", "sensor_msgs_py", "std_msgs", "std_srvs", "tf2_msgs",
        "tf2_ros", "visualization_msgs",
    }
)  # fmt: skip
"""The packages of ROS whose names are checked."""


@dataclass(frozen=True, slots=True)
class Use:
    """A name of ROS that is used, with a keyword of a call or an attribute where there is one."""

    module: str
    """The module that it is imported from."""
    name: str
    """The imported name; empty for the module itself."""
    attribute: str = ""
    """The attribute or method taken of it."""
    keyword: str = ""
    """The keyword that its call, or that of the attribute, is given."""
    is_optional: bool = False
    """Whether the import is tried, and something else is done where it fails."""

    def __str__(self) -> str:
        text = ".".join(part for part in (self.module, self.name, self.attribute) if part)
        return f"{text}({self.keyword}=)" if self.keyword else text


@dataclass(frozen=True, slots=True)
class MethodUse:
    """A call of a method with keywords, whose object the syntax does not tell."""

    method: str
    """The name of the method."""
    keywords: frozenset[str]
    """The keywords of the call."""


def uses_in(paths: list[Path]) -> tuple[dict[Use, str], dict[MethodUse, str]]:
    """Return what Python files use, with a place for each: names of ROS, and calls of methods with keywords."""
    names: dict[Use, str] = {}
    methods: dict[MethodUse, str] = {}
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        imports = list(_imports(tree))
        imported = dict(imports)
        for _, use in imports:
            names.setdefault(use, f"{path}")
        for node in ast.walk(tree):
            for found in _of_node(node, imported):
                names.setdefault(found, f"{path}:{getattr(node, 'lineno', 0)}")
            if not imported or not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.keywords and ast.unparse(node.func.value) not in imported:
                given = frozenset(keyword.arg for keyword in node.keywords if keyword.arg)
                methods.setdefault(MethodUse(node.func.attr, given), f"{path}:{node.lineno}")
    return names, methods


def methods_in(paths: list[Path]) -> set[str]:
    """Return the names of the functions that Python files define: calls of these may be of the files' own."""
    trees = [ast.parse(path.read_text(encoding="utf-8"), str(path)) for path in paths]
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, kinds)}


def _imports(tree: ast.Module) -> Iterator[tuple[str, Use]]:
    """Yield local name and use of each import of ROS."""
    tried = {
        id(inner)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.Try) and any("ImportError" in ast.unparse(h.type or outer) for h in outer.handlers)
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in PACKAGES:
            for alias in node.names:
                yield alias.asname or alias.name, Use(node.module, alias.name, is_optional=id(node) in tried)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in PACKAGES:
                    yield alias.asname or alias.name, Use(alias.name, "", is_optional=id(node) in tried)


def _of_node(node: ast.AST, imported: dict[str, Use]) -> Iterator[Use]:
    """Yield the attributes and keywords of imported names that a node uses."""
    if isinstance(node, ast.Attribute) and (use := imported.get(ast.unparse(node.value))) is not None:
        yield Use(use.module, use.name, node.attr, is_optional=use.is_optional)
    if not isinstance(node, ast.Call):
        return
    keywords = [keyword.arg for keyword in node.keywords if keyword.arg]
    function = node.func
    if (use := imported.get(ast.unparse(function))) is not None:
        yield from (Use(use.module, use.name, "", keyword, use.is_optional) for keyword in keywords)
    elif isinstance(function, ast.Attribute) and (use := imported.get(ast.unparse(function.value))) is not None:
        yield from (Use(use.module, use.name, function.attr, keyword, use.is_optional) for keyword in keywords)
