"""The documents and the truth: links, named files, command lines, the table of recommendations, the citation."""

from __future__ import annotations

import argparse
import ast
import configparser
import importlib
import re
import shlex
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

from slam3r_lab.commands.main import BENCHMARKS
from slam3r_lab.commands.main import COMMAND_LINE as LAB
from slam3r_ros.cli.command_line import Command
from slam3r_ros.cli.main import COMMAND_LINE as ROBOT
from slam3r_ros.io.image_decoding import KNOWN_ENCODINGS
from slam3r_ros.networks.hub import OWN_WEIGHTS
from slam3r_ros.networks.recommended_settings import _FORMER_NAMES as FORMER_NAMES
from slam3r_ros.networks.recommended_settings import recommended_settings
from slam3r_ros.ros.parameters.launch_options import node_arguments
from slam3r_ros.ros.parameters.node_settings import node_specs, spec_of
from slam3r_ros.setting_spec import specs_of
from slam3r_ros.settings import SlamSettings

ROOT = Path(__file__).resolve().parents[1]
GUIDES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "doc").glob("*.md"))]
"""The documents for users and developers of today's code."""
TABLES = [path for package in ("slam3r_ros", "slam3r_lab") for path in sorted((ROOT / package).rglob("*.md"))]
"""Model cards and dated tables: their links must resolve, their command lines are those of their day."""
DOCUMENTS = [*GUIDES, ROOT / "CHANGELOG.md", *TABLES]
MADE = {"build", "install", "log", "dist", "demo"}
"""Folders that guides name, and that `make` makes."""
USERS = {"src", "training_data", "rgb", "depth", "data", "i2p", "l2w", "slam3r_i2p", "slam3r_l2w"}
"""Folders that guides name, and that users have."""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


# ---- links


def text_without_code(path: Path) -> str:
    """The text of a document without code blocks and code spans."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "`code`", text)


def anchors_of(path: Path) -> set[str]:
    """The anchors that a viewer gives to the headings of a document: lower case, hyphens for spaces, no signs."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.*?) *$", path.read_text(), flags=re.M):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        anchor = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        count = sum(1 for other in found if re.fullmatch(re.escape(anchor) + r"(-\d+)?", other))
        found.add(f"{anchor}-{count}" if count else anchor)
    return found


def broken_links(path: Path) -> Iterator[str]:
    """Each link of a document to a file or a heading that does not exist."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text_without_code(path)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        linked = (path.parent / unquote(file)).resolve() if file else path
        if not linked.exists():
            yield f"{target}: there is no such file"
        elif anchor and anchor not in anchors_of(linked):
            yield f"{target}: no heading has that anchor; there are {', '.join(sorted(anchors_of(linked)))}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    assert list(broken_links(path)) == []


def test_every_guide_is_linked_from_the_readme() -> None:
    linked = set(re.findall(r"\]\(([^)#\s]+)", (ROOT / "README.md").read_text()))
    assert {name_of(path) for path in GUIDES} - linked == {"README.md"}


def test_every_picture_is_shown() -> None:
    shown = {Path(name).name for path in GUIDES for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", path.read_text())}
    assert {path.name for path in (ROOT / "doc" / "images").iterdir()} == shown


# ---- files, classes and other names


def code_spans_of(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))


def code_spans(path: Path) -> list[str]:
    return code_spans_of(path.read_text())


def text_of_today(path: Path) -> str:
    """The text of a guide without the names of former versions: those of the sections and columns that list them."""
    text = re.sub(r"^\|[^|]*\|(?=[^|]*\|$)", "|", path.read_text().partition("## Old words")[2], flags=re.M)
    return path.read_text().partition("## Old words")[0] + text


def sources() -> Iterator[Path]:
    """The files whose words a guide may name as code."""
    for folder in ("slam3r_ros", "slam3r_lab", "environment", "launch", "config", "msg", "srv"):
        found = (path for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".msg", ".srv", ".yaml", ".xml"))
        yield from sorted(path for path in found if "__pycache__" not in path.parts)
    yield from (ROOT / name for name in ("setup.py", "setup.cfg", "package.xml", "CMakeLists.txt", "Makefile"))


@cache
def known_words() -> frozenset[str]:
    """Every word of the sources, file names included."""
    return frozenset(
        word for path in sources() for text in (path.stem, path.read_text()) for word in re.findall(r"\w+", text)
    )


@cache
def members_of_classes() -> dict[str, frozenset[str]]:
    """The methods and fields of every class of both packages, by the class's name; those of bases are theirs too."""
    members: dict[str, set[str]] = {}
    bases: dict[str, set[str]] = {}
    for path in (path for path in sources() if path.suffix == ".py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ClassDef):
                continue
            bases.setdefault(node.name, set()).update(ast.unparse(base) for base in node.bases)
            own = members.setdefault(node.name, set())
            for inner in ast.walk(node):
                if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    own.add(inner.name)
                elif isinstance(inner, ast.AnnAssign) and isinstance(inner.target, (ast.Name, ast.Attribute)):
                    own.add(inner.target.id if isinstance(inner.target, ast.Name) else inner.target.attr)
                elif isinstance(inner, ast.Assign):
                    own |= {target.id for target in inner.targets if isinstance(target, ast.Name)}
                    own |= {target.attr for target in inner.targets if isinstance(target, ast.Attribute)}
    messages = [path for folder in ("msg", "srv") for path in (ROOT / folder).iterdir()]
    members |= {path.stem: set(re.findall(r"^\w\S* (\w+)", path.read_text(), flags=re.M)) for path in messages}
    return {
        name: frozenset(own.union(*(members.get(base, set()) for base in bases.get(name, ()))))
        for name, own in members.items()
    }


def unknown_names(text: str) -> Iterator[str]:
    """Each file, folder, class, member, setting or other name in the code spans of a text that does not exist."""
    classes, settings = members_of_classes(), {spec.name for spec in node_specs()}
    stages = {name.partition(".")[0] for name in settings if "." in name}
    for span in code_spans_of(text):
        name = span.rstrip("/")
        if re.fullmatch(r"[\w.]+(/[\w.]+)+\.(py|md|yaml|xml|lock|in|msg|srv|rviz)|[\w/]+/", span):
            if name not in MADE | USERS and not any(
                (base / name).exists() for base in (ROOT, ROOT / "slam3r_ros", ROOT / "slam3r_ros" / "ros")
            ):
                yield f"{span}: there is no such file or folder"
        elif match := re.fullmatch(r"((?:[A-Z][a-z0-9]+){1,}[A-Z]?)(?:\.(\w+))?(?:\(.*\))?", span):
            if match[1] in classes and match[2] and match[2] not in classes[match[1]]:
                yield f"{span}: {match[1]} has no '{match[2]}'"
            elif match[1] not in classes and match[1] not in known_words():
                yield f"{span}: there is no such class"
        elif match := re.fullmatch(r"([a-z]+)\.([a-z_]+)(?:: .*)?", span):
            if match[1] in stages and f"{match[1]}.{match[2]}" not in settings:
                yield f"{span}: there is no such setting"
        elif re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)+", span) and span not in known_words():
            yield f"{span}: no source has this word"


@pytest.mark.parametrize("path", GUIDES, ids=name_of)
def test_what_a_guide_names_exists(path: Path) -> None:
    assert list(unknown_names(text_of_today(path))) == []


@pytest.mark.parametrize(
    "span",
    [
        "engine/world_map.py",
        "slam3r_ros/tracks/",
        "WorldMap",
        "Slam.settle",
        "MapUpdate.is_early",
        "window.strides",
        "map.confidence: 12.0",
        "image_quue",
    ],
)
def test_an_unknown_name_is_found(span: str) -> None:
    assert len(list(unknown_names(f"See `{span}`, `Slam.push`, `engine/slam.py`, `PoseUpdate`, `window.stride`."))) == 1


def test_messages_that_are_quoted_exist() -> None:
    """Each part of a quoted message, between what differs from case to case, stands in a source of the package."""
    text = re.sub(r"\s+", " ", (ROOT / "doc" / "troubleshooting.md").read_text())
    written = re.sub(r'"\s+f?"', "", " ".join(path.read_text() for path in sorted((ROOT / "slam3r_ros").rglob("*.py"))))
    quoted = re.findall(r'"([a-z][^"]{8,}?)"', text)
    parts = [part.strip(" '") for each in quoted for part in re.split(r"\.\.\.|'\w+'", each)]
    assert len(parts) > 12
    assert [part for part in parts if part not in written] == []


# ---- command lines


def command_lines(path: Path) -> Iterator[str]:
    """The lines of the code blocks of a document, indented or fenced, without their comments."""
    for block in re.findall(r"^```\w*\n(.*?)^```", path.read_text(), flags=re.M | re.S):
        yield from block.splitlines()
    yield from re.findall(r"^ {4,}(\S.*)$", path.read_text(), flags=re.M)


def parser_of(program: str, command: Command) -> argparse.ArgumentParser:
    module = importlib.import_module(command.module)
    parser = argparse.ArgumentParser(prog=program)
    module.add_arguments(parser)
    return parser


def understood(program: str, words: list[str], *, whole: bool) -> None:
    """Fail where the program does not take these words; a mention that is not ``whole`` may lack what is required."""
    commands = (LAB if program == "slam3r_lab" else ROBOT).commands
    if not words or words == ["--help"]:
        return
    name, *rest = words
    if program == "slam3r_lab" and name == "bench" and rest and rest[0] in BENCHMARKS.commands:
        commands, (name, *rest) = BENCHMARKS.commands, rest
    assert name in commands, f"{program} has no command '{name}'"
    if name in ("play", "demo") and program == "slam3r_ros":
        pytest.importorskip("rclpy")
    parser = parser_of(program, commands[name])
    if whole and rest != ["--help"]:
        try:
            parser.parse_args(rest)
        except SystemExit:
            pytest.fail(f"{program} {shlex.join(words)} is not understood")
    options = re.findall(r"(?<![\w-])--?[a-z][\w-]*", parser.format_help())
    assert [word for word in rest if re.match(r"--[a-z]", word) and word not in options] == []


def check_make(words: list[str]) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M)
    variables = dict(word.split("=", 1) for word in words if "=" in word)
    assert [word for word in words if "=" not in word and word not in targets] == []
    assert set(variables) <= {"PYTHON", "SOURCE", "ARGS"}
    for target, before in (("bench", ["bench"]), ("train", ["train"]), ("accuracy", ["bench", "accuracy"])):
        if target in words and "ARGS" in variables:
            understood("slam3r_lab", [*before, *shlex.split(variables["ARGS"])], whole=True)


def check_launch(words: list[str]) -> None:
    package, file, *given = words
    assert package == "slam3r_ros" and (ROOT / "launch" / file).is_file()
    known = set(node_arguments(Path()))
    if file == "replay.launch.py":
        known |= {"bag", "rate", "bag_topic", "loop"}
        assert all(f'"{name}"' in (ROOT / "launch" / file).read_text() for name in ("bag", "rate", "bag_topic", "loop"))
    assert [word for word in given if word != "--show-args" and word.partition(":=")[0] not in known] == []


def check_service(words: list[str]) -> None:
    _, kind, *values = words
    package, _, name = kind.split("/")
    if package != "slam3r_ros":
        return
    request = (ROOT / "srv" / f"{name}.srv").read_text().partition("---")[0]
    given = {key for value in values for key in yaml.safe_load(value)}
    assert given <= set(re.findall(r"^[\w/]+ (\w+)", request, flags=re.M))


def check_node(words: list[str]) -> None:
    for option, value in pairwise(words):
        if option == "-p":
            spec_of(value.partition(":=")[0])


def check_module(words: list[str]) -> None:
    module, *rest = words
    assert importlib.util.find_spec(module) is not None
    if module == "pytest":
        assert [word for word in rest if word.startswith("test/") and not (ROOT / word).exists()] == []


def check(line: str, *, whole: bool = True) -> None:
    """Fail where a command line of this repository's programs would not be understood; others are not looked at."""
    words = shlex.split(line, comments=True)
    match words:
        case ["make", *rest]:
            check_make(rest)
        case ["slam3r_ros" | "slam3r_lab" as program, *rest]:
            understood(program, rest, whole=whole)
        case ["slam3r_node", *rest]:
            check_node(rest)
        case ["python", "-m", *rest]:
            check_module(rest)
        case ["ros2", "launch", *rest]:
            check_launch(rest)
        case ["ros2", "service", "call", *rest]:
            check_service(rest)


@pytest.mark.parametrize("path", GUIDES, ids=name_of)
def test_command_lines_are_understood(path: Path) -> None:
    for line in command_lines(path):
        if re.match(r"(make|slam3r_\w+|python|ros2) ", line):
            check(line)


@pytest.mark.parametrize("path", GUIDES, ids=name_of)
def test_commands_that_are_mentioned_exist(path: Path) -> None:
    for span in code_spans(path):
        if re.match(r"(make|slam3r_ros|slam3r_lab|python -m|ros2 launch) ", span) and "|" not in span:
            check(span, whole=False)


@pytest.mark.parametrize(
    "line",
    [
        "make dmeo",
        'make bench ARGS="topc"',
        "slam3r_ros evaluate SEQUENCE",
        "slam3r_ros run video.mp4 --output here",
        "slam3r_lab render --seed 1",
        "ros2 launch slam3r_ros slam3r.launch.py img:=/image",
        'ros2 service call /slam3r/save_map slam3r_ros/srv/SaveMap "{file: a.ply}"',
        "python -m slam3r_ros.nothing",
    ],
)
def test_a_wrong_command_line_is_found(line: str) -> None:
    with pytest.raises((AssertionError, ModuleNotFoundError, pytest.fail.Exception)):
        check(line)


def test_extras_that_are_named_exist() -> None:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    named = {name for path in GUIDES for name in re.findall(r"'\.\[(\w+)\]'", path.read_text())}
    assert named <= set(parser["options.extras_require"])
    lab = {name for path in GUIDES for name in re.findall(r"'\./slam3r_lab\[(\w+)\]'", path.read_text())}
    declared = (ROOT / "slam3r_lab" / "pyproject.toml").read_text().partition("[project.optional-dependencies]")[2]
    assert lab <= set(re.findall(r"^(\w+) = \[", declared.partition("\n[")[0], re.MULTILINE))


def test_the_table_of_recommendations_is_that_of_the_weights() -> None:
    table = (ROOT / "doc" / "weights.md").read_text().partition("## What the weights recommend")[2]
    rows = [re.findall(r"[^|`\s]+", line) for line in table.splitlines() if line.startswith("| `")]
    published, embedded = SlamSettings.of_published_weights(), recommended_settings(OWN_WEIGHTS / "embedded")
    expected = [
        [spec.name, str(published.value(spec.name)), str(embedded.value(spec.name)), former]
        for spec in specs_of(SlamSettings)
        if spec.published is not None
        for former in [next(former for former, name in FORMER_NAMES.items() if name == spec.name)]
    ]
    assert sorted(rows) == sorted(expected)


def test_the_list_of_encodings_is_that_of_the_decoder() -> None:
    assert set(KNOWN_ENCODINGS) <= set(code_spans(ROOT / "doc" / "ros_api.md"))


# ---- the citation


def test_the_citation_names_this_version_and_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    version = re.search(r"<version>(.*?)</version>", (ROOT / "package.xml").read_text())
    assert version is not None and citation["version"] == version[1]
    assert citation["license"] == "Apache-2.0" and citation["authors"] == [{"name": "slam3r_ros maintainers"}]
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= set(paper) and paper["title"].startswith("SLAM3R")
    assert f"## {citation['version']} ({citation['date-released']})" in (ROOT / "CHANGELOG.md").read_text()
