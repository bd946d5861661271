"""Measure weights on sequences with truth: ``slam3r_lab evaluate SEQUENCE... --weights W --protocol NAME``."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from tqdm import tqdm

from slam3r_lab.evaluation.machine import commit_of_code
from slam3r_lab.evaluation.protocols import PROTOCOLS, Protocol, ProtocolError, find_protocol
from slam3r_lab.sequences.readers import LAYOUTS, open_sequence, sequence_folders
from slam3r_lab.sequences.sequence import ImageSequence, SequenceError
from slam3r_ros.cli.run import setting_values
from slam3r_ros.io.files import OutputError, make_writable
from slam3r_ros.networks.attention import BackendError
from slam3r_ros.networks.errors import WeightsError
from slam3r_ros.setting_spec import SettingError

EXTRA_MISSING = "slam3r_lab evaluate: needs the package evo: pip install './slam3r_lab[evaluation]' in the source tree"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_lab evaluate``."""
    protocols = "; ".join(f"{each.name}: {each.source.split(':')[0]}" for each in PROTOCOLS)
    parser.add_argument("sequences", nargs="+", metavar="SEQUENCE", help="folder of a sequence, or of a 7-Scenes scene")
    parser.add_argument(
        "--weights", default="embedded",
        help="'embedded', a directory, a hub id, oracle:SETTING (substitutes that answer from the "
        "truth, for example oracle:exact) or baseline:NAME (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--protocol", default="all-frames", help=f"{protocols} (default: %(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path("evaluation"), help="directory to write (default: %(default)s)"
    )
    parser.add_argument("--layout", help=f"of the files, else recognised: {', '.join(each.name for each in LAYOUTS)}")
    parser.add_argument(
        "--lookahead", type=int, help="later members waited for; -1: the whole window (window.lookahead)"
    )
    parser.add_argument(
        "--intrinsics", choices=("known", "unknown"), help="whether poses may use them (default: the protocol's)"
    )
    parser.add_argument("--frames", type=int, help="use at most so many frames of each sequence")
    parser.add_argument("--step", type=int, help="use every so many frames (default: the protocol's)")
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="NAME=VALUE",
        help="a setting of the engine, for example window.stride=1; may be repeated",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of every random choice (default: %(default)s)")
    parser.add_argument("--network-samples", type=int, default=8, help="frames for the networks alone; 0: leave out")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ... (default: %(default)s)")
    parser.add_argument("--precision", default="auto", help="auto, float32, bfloat16 or float16 (default: %(default)s)")
    parser.add_argument("--no-pictures", action="store_true", help="write no pictures")


def main(arguments: argparse.Namespace) -> int:
    """Evaluate; 1 if nothing could be computed, 2 if something given cannot be used."""
    try:
        from slam3r_lab.evaluation.evaluate import Options
        from slam3r_lab.evaluation.session import Session, write_files
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "evo":
            raise
        print(EXTRA_MISSING, file=sys.stderr)
        return 2
    try:
        protocol = chosen_protocol(arguments)
        options = Options(seed=arguments.seed, network_samples=arguments.network_samples)
        session = Session(arguments.weights, protocol, options, device=arguments.device, precision=arguments.precision)
        make_writable(arguments.out)
        commit, command = commit_of_code(), shlex.join(["slam3r_lab", *sys.argv[1:]])
        date = datetime.now(timezone.utc).isoformat(timespec="seconds")
        for sequence, name in opened(arguments, protocol, session.failures):
            with tqdm(total=len(sequence), unit="frame", desc=name, mininterval=0.5) as bar:
                evaluation = session.evaluate(sequence, bar.update)
            write_files(evaluation, sequence, arguments.out / name, pictures=not arguments.no_pictures)
            session.report(date, commit, command).write(arguments.out)  # what is done is there, whatever comes
        report = session.report(date, commit, command)
        report.write(arguments.out)
    except (SettingError, ProtocolError, WeightsError, BackendError, OutputError) as error:
        print(f"slam3r_lab evaluate: {error}", file=sys.stderr)
        return 2
    print(report.as_markdown())
    print(f"written to {arguments.out}")
    if all(result.is_empty for result in report.results):
        print("slam3r_lab evaluate: nothing could be computed", file=sys.stderr)
        return 1
    return 0


def chosen_protocol(arguments: argparse.Namespace) -> Protocol:
    """The protocol with what the command line changes; raises ProtocolError and SettingError."""
    protocol = find_protocol(arguments.protocol)
    for name in ("step", "frames"):
        count = getattr(arguments, name)
        if count is not None and count < 1:
            raise ProtocolError(f"--{name}: expected at least 1, got {count}")
    values = {**protocol.values, **setting_values(arguments.settings)}
    if arguments.lookahead is not None:
        values["window.lookahead"] = arguments.lookahead
    changed = replace(
        protocol,
        values=values,
        frame_step=protocol.frame_step if arguments.step is None else arguments.step,
        with_intrinsics=protocol.with_intrinsics if arguments.intrinsics is None else arguments.intrinsics == "known",
    )
    changed.settings()
    return changed if changed == protocol else replace(changed, name=f"{protocol.name} (changed)")


def opened(
    arguments: argparse.Namespace, protocol: Protocol, failures: list[str]
) -> Iterator[tuple[ImageSequence, str]]:
    """The sequences that can be opened, each with a name of its own; why others cannot goes to ``failures``."""
    names: Counter[str] = Counter()
    for path in (folder for text in arguments.sequences for folder in sequence_folders(text)):
        try:
            sequence = open_sequence(path, arguments.layout).every(protocol.frame_step, arguments.frames)
        except SequenceError as error:
            failures.append(str(error))
            print(f"slam3r_lab evaluate: {error}", file=sys.stderr)
            continue
        names[sequence.name] += 1
        count = names[sequence.name]
        name = sequence.name if count == 1 else f"{sequence.name}-{count}"
        yield sequence.renamed(name), name
