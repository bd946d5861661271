"""What the source folders of a ROS distribution define: modules, classes, functions, messages and services."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path

_FIELD = re.compile(r"^\s*[\w/<>=\[\]]+\s+(?P<name>[A-Za-z]\w*)\s*(?P<rest>.*)$")
ANYTHING = "**"
"""Stands among the parameters of a function that takes any keyword."""


@dataclass(slots=True)
class Function:
    """A function or method."""

    parameters: set[str]
    """The names of its parameters; `ANYTHING` is among them where any keyword is taken."""


@dataclass(slots=True)
class Class:
    """A class, or a message, whose fields are the parameters of its constructor."""

    attributes: set[str] = field(default_factory=set)
    """The names that its body defines, methods among them."""
    methods: dict[str, Function] = field(default_factory=dict)
    """Its methods by name."""
    bases: list[str] = field(default_factory=list)
    """The names of its bases as they are written."""


@dataclass(slots=True)
class Module:
    """A Python module."""

    names: dict[str, Class | Function | None] = field(default_factory=dict)
    """What it defines; None for what it imports or assigns."""
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Module and name that each imported name comes from."""
    stars: list[str] = field(default_factory=list)
    """The modules of which it imports every name."""


class Distribution:
    """The definitions in the source folders of a distribution."""

    def __init__(self, folder: Path) -> None:
        """``folder`` holds the sources, at any depth. Raises FileNotFoundError where it holds no package.xml."""
        self.modules: dict[str, Module] = {}
        self._classes: dict[str, list[Class]] = {}
        manifests = sorted(folder.rglob("package.xml"))
        if not manifests:
            raise FileNotFoundError(f"no package.xml in '{folder}' or below: expected sources of a ROS distribution")
        for manifest in manifests:
            self._read_package(manifest.parent)

    def resolve(self, module: str, name: str, depth: int = 0) -> Class | Function | None:
        """Return the class or function of a name, followed through imports; None if it is something else."""
        found = self.modules.get(module)
        if found is None or depth > 8:
            return None
        if (defined := found.names.get(name)) is not None:
            return defined
        if (origin := found.imported.get(name)) is not None:
            return self.resolve(*origin, depth + 1)
        return next((r for star in found.stars if (r := self.resolve(star, name, depth + 1)) is not None), None)

    def has(self, module: str, name: str) -> bool | None:
        """Whether a module can be imported, and has a name where one is given; None where a compiled module, of which
        it imports every name, may have it."""
        if module not in self.modules:
            return False
        found = self.modules[module]
        if not name or name in found.names or f"{module}.{name}" in self.modules:
            return True
        answers = [self.has(star, name) if star in self.modules else None for star in found.stars]
        return True if True in answers else None if None in answers else False

    def methods(self, name: str) -> list[Function]:
        """Return every method of that name, of whichever class."""
        return [c.methods[name] for found in self._classes.values() for c in found if name in c.methods]

    def attributes_of(self, found: Class) -> set[str] | None:
        """Return the attributes of a class and its bases; None where a base is not in the sources."""
        attributes = set(found.attributes)
        for base in found.bases:
            known = self._classes.get(base.rpartition(".")[2])
            if known is None:
                return None
            of_base = self.attributes_of(known[0]) if known[0] is not found else set()
            if of_base is None:
                return None
            attributes |= of_base
        return attributes

    def parameters_of(self, found: Class | Function, method: str = "") -> set[str] | None:
        """Return the parameters of a function, of a class's constructor or of its method; None where unknown."""
        if isinstance(found, Function):
            return found.parameters
        if (own := found.methods.get(method or "__init__")) is None:
            for base in found.bases:
                for known in self._classes.get(base.rpartition(".")[2], []):
                    if known is not found and (of_base := self.parameters_of(known, method)) is not None:
                        return of_base
            return None
        if ANYTHING in own.parameters:
            for base in found.bases:
                for known in self._classes.get(base.rpartition(".")[2], []):
                    of_base = self.parameters_of(known, method)
                    if of_base is not None:
                        return (own.parameters - {ANYTHING}) | of_base
        return own.parameters

    # ---- reading -------------------------------------------------------------------------------------------------

    def _read_package(self, folder: Path) -> None:
        for python in {folder, *(path.parent for path in folder.glob("*/__init__.py"))}:
            if (python / "__init__.py").is_file():
                for path in python.rglob("*.py"):
                    self._read_module(path, python.parent)
        for kind in ("msg", "srv"):
            for path in (folder / kind).glob(f"*.{kind}"):
                self._read_interface(f"{folder.name}.{kind}", path)

    def _read_module(self, path: Path, root: Path) -> None:
        parts = path.relative_to(root).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        module = self.modules.setdefault(name, Module())
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            return
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                package = name.split(".") if is_package else name.split(".")[:-1]
                base = package[: len(package) - node.level + 1] if node.level else []
                origin = ".".join([*base, *filter(None, [node.module])])
                module.stars += [origin for alias in node.names if alias.name == "*"]
                for alias in node.names:
                    module.names.setdefault(alias.asname or alias.name, None)
                    module.imported[alias.asname or alias.name] = (origin, alias.name)
        for statement in tree.body:
            self._read_statement(module, statement)

    def _read_statement(self, module: Module, node: ast.stmt) -> None:
        if isinstance(node, ast.ClassDef):
            found = module.names[node.name] = _class_of(node)
            self._classes.setdefault(node.name, []).append(found)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            module.names[node.name] = _function_of(node)
        elif isinstance(node, (ast.If, ast.Try)):
            for branch in [*node.body, *node.orelse]:
                self._read_statement(module, branch)
        else:
            module.names |= {name: module.names.get(name) for name in _assigned(node)}

    def _read_interface(self, module: str, path: Path) -> None:
        parts = re.split(r"^---\s*$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        messages = [_message_of(part) for part in parts]
        whole = messages[0] if len(messages) == 1 else Class({"Request", "Response"})
        self.modules.setdefault(module, Module()).names[path.stem] = whole
        self.modules.setdefault(module.partition(".")[0], Module())
        if len(messages) == 2:
            for kind, message in zip(("Request", "Response"), messages, strict=True):
                whole.methods[kind] = message.methods["__init__"]


def _message_of(text: str) -> Class:
    fields, constants = set[str](), set[str]()
    for line in text.splitlines():
        if (found := _FIELD.match(line.split("#")[0])) is not None:
            is_constant = found["rest"].startswith("=")
            (constants if is_constant else fields).add(found["name"])
    return Class(fields | constants, {"__init__": Function(fields)})


def _class_of(node: ast.ClassDef) -> Class:
    found = Class(bases=[ast.unparse(base) for base in node.bases])
    for inner in node.body:
        if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found.methods[inner.name] = _function_of(inner)
            found.attributes.add(inner.name)
        elif isinstance(inner, ast.ClassDef):
            found.attributes.add(inner.name)
        found.attributes |= _assigned(inner)
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute) and ast.unparse(part.value) == "self":
            found.attributes.add(part.attr)
    return found


def _function_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Function:
    given = node.args
    parameters = {argument.arg for argument in (*given.args, *given.kwonlyargs)}
    return Function(parameters | ({ANYTHING} if given.kwarg else set()))


def _assigned(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.Assign):
        return {inner.id for target in node.targets for inner in ast.walk(target) if isinstance(inner, ast.Name)}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return {node.target.id}
    return {alias.asname or alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
