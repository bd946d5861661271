"""The command line: every command is there, loads only what it needs and says what is wrong."""

from __future__ import annotations

import fcntl
import importlib
import os
import pty
import shutil
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from synthetic import textured_image

from slam3r_ros.cli import main as cli
from slam3r_ros.cli import run
from slam3r_ros.io.files import OutputError
from slam3r_ros.io.ply import read_ply
from slam3r_ros.io.sources import Source
from slam3r_ros.io.tum import read_trajectory
from slam3r_ros.map_file.reader import MapFile
from slam3r_ros.networks.weights import Networks, save_network
from slam3r_ros.types import Frame

WITHOUT_ROS = """
import sys
class NoRos:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("rclpy", "sensor_msgs", "std_msgs") or name in ("slam3r_ros.msg", "slam3r_ros.srv"):
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
sys.meta_path.insert(0, NoRos())
from slam3r_ros.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def run_without_ros(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", WITHOUT_ROS, *words], capture_output=True, text=True, check=False)


def test_unknown_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["xyzzy"]) == 2
    known = "run, info, merge, view, export, film, play, app, demo"
    assert f"unknown command 'xyzzy'; known: {known}" in capsys.readouterr().err


def test_overview_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in cli.COMMAND_LINE.commands)


@pytest.mark.parametrize("name", ["evaluate", "parity", "render", "train"])
def test_command_of_the_lab_is_told_where_it_went(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([name, "--whatever"]) == 2
    said = capsys.readouterr().err
    assert said == (
        f"slam3r_ros: 'slam3r_ros {name}' is 'slam3r_lab {name}' now, which 'make setup' installs in the source tree\n"
    )


@pytest.mark.parametrize("name", ["run", "demo"])
def test_help_of_every_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: slam3r_ros {name}" in capsys.readouterr().out


def test_ros_arguments_are_kept_apart() -> None:
    words = ["play", "a.mp4", "--ros-args", "-r", "__node:=x", "--", "--loop"]
    assert cli.split_ros_arguments(words) == (["play", "a.mp4", "--loop"], ["--ros-args", "-r", "__node:=x"])
    assert cli.split_ros_arguments(["run", "a"]) == (["run", "a"], [])


@pytest.mark.parametrize("name", ["run", "demo"])
def test_ros_arguments_that_a_command_does_not_use_are_told(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([name, "nowhere.mp4", "--out", "/dev/null/x", "--ros-args", "-r", "a:=b"]) == 2
    assert f"slam3r_ros {name}: not used: --ros-args -r a:=b" in capsys.readouterr().err


def test_command_that_needs_ros_says_so_where_there_is_none() -> None:
    result = run_without_ros("play", "video.mp4")
    assert result.returncode == 2
    assert "this command needs ROS 2" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_demo_without_ros_says_so_before_it_makes_anything(tmp_path: Path) -> None:
    result = run_without_ros("demo", "--out", str(tmp_path / "demo"))
    assert result.returncode == 2
    assert "this command needs ROS 2" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "demo").exists()


@pytest.fixture(scope="module")
def sequence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import cv2

    folder = tmp_path_factory.mktemp("sequence")
    for number in range(8):
        cv2.imwrite(str(folder / f"{number}.png"), textured_image(number)[:, :, ::-1])
    return folder


@pytest.fixture(scope="module")
def tiny(tiny_networks: Networks, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options of `run`: weights of tiny random networks that accept everything."""
    folder = tmp_path_factory.mktemp("weights")
    save_network(tiny_networks.i2p, folder / "i2p")
    save_network(tiny_networks.l2w, folder / "l2w")
    thresholds = (
        "point_confidence: 0\nshrink_below: 0\ninitialize_confidence: 0\ntracking_confidence: 0\nmap_confidence: 0\n"
    )
    (folder / "settings.yaml").write_text(thresholds)
    return ["--weights", str(folder), "--set", "pose.minimum_inliers=0.0"]


def test_run_maps_without_ros(sequence: Path, tiny: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run_without_ros("run", str(sequence), "--out", str(out), *tiny)
    assert result.returncode == 0, result.stderr
    assert "8 frames in" in result.stdout
    assert len(read_trajectory(out / "trajectory.tum")) == 8
    points = read_ply(out / "map.ply")
    assert f"{len(points)} points in {out / 'map.ply'}" in result.stdout
    assert len(points) > 0


def test_run_that_maps_nothing_leaves_an_earlier_map_and_makes_no_file(
    sequence: Path, tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, out = tmp_path / "one", tmp_path / "out"
    one.mkdir()
    shutil.copy(next(sequence.glob("*.png")), one)
    assert cli.main(["run", str(one), "--out", str(out), *tiny]) == 1
    assert not out.exists()
    assert f"nothing is mapped: '{out}/map.ply' is not written; " in capsys.readouterr().err
    out.mkdir()
    (out / "map.ply").write_text("of yesterday")
    assert cli.main(["run", str(one), "--out", str(out), *tiny]) == 1
    assert (out / "map.ply").read_text() == "of yesterday" and len(list(out.iterdir())) == 1
    assert "stays as it is" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["x.PLY", "x.pcd", "x.slam3r"])
def test_run_writes_the_file_that_it_is_given(name: str, sequence: Path, tiny: list[str], tmp_path: Path) -> None:
    assert cli.main(["run", str(sequence), "--out", str(tmp_path / "new" / name), *tiny]) == 0
    points = "x.ply" if name == "x.slam3r" else name
    assert {path.name for path in (tmp_path / "new").iterdir()} == {points, "x.tum", "x.slam3r"}
    with MapFile(tmp_path / "new" / "x.slam3r") as file:
        scene = file.reconstruction()
        assert len(scene.keyframes) == 2 and len(scene.points) > 100 and file.meta()["closed"] is True
    poses = read_trajectory(tmp_path / "new" / "x.tum")
    assert [each.stamp_ns for each in scene.trajectory] == [each.stamp_ns for each in poses]


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), MemoryError("Unable to allocate 3 GiB")])
def test_engine_that_fails_does_not_take_the_map_along(
    sequence: Path, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], error: Exception,
) -> None:  # fmt: skip
    push, pushed = run.Slam.push, []

    def failing(slam: run.Slam, frame: Frame) -> object:
        pushed.append(frame)
        if len(pushed) == 7:
            raise error
        return push(slam, frame)

    monkeypatch.setattr(run.Slam, "push", failing)
    assert cli.main(["run", str(sequence), "--out", str(tmp_path), *tiny]) == 1
    assert f"the engine failed at frame 6: {type(error).__name__}: {error}; what is" in capsys.readouterr().err
    assert len(read_ply(tmp_path / "map.ply")) > 0


def test_both_files_that_cannot_be_written_are_named(
    sequence: Path, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(name: str) -> Callable[..., None]:
        def fail(*_: object, **__: object) -> None:
            raise OutputError(f"cannot write '{name}': No space left on device")

        return fail

    monkeypatch.setattr(run, "save_map", refuse("map.ply"))
    monkeypatch.setattr(run.MapSession, "__exit__", refuse("map.slam3r"))
    assert cli.main(["run", str(sequence), "--out", str(tmp_path), *tiny]) == 2
    said = capsys.readouterr().err
    assert "cannot write 'map.ply': No space" in said and "cannot write 'map.slam3r': No space" in said


def test_an_error_that_nobody_has_foreseen_does_not_take_the_map_along(
    sequence: Path, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    push, pushed = run.Slam.push, []

    def failing(slam: run.Slam, frame: Frame) -> object:
        pushed.append(frame)
        if len(pushed) == 7:
            raise AttributeError("no such thing")
        return push(slam, frame)

    monkeypatch.setattr(run.Slam, "push", failing)
    with pytest.raises(AttributeError, match="no such thing"):
        cli.main(["run", str(sequence), "--out", str(tmp_path), *tiny])
    assert f"an unforeseen error; what is mapped is saved in {tmp_path / 'map.ply'}" in capsys.readouterr().err
    assert len(read_ply(tmp_path / "map.ply")) > 0


def interrupted_before(frame_number: int, number: int = signal.SIGINT) -> Callable[..., Source]:
    """Stands in for open_source: a signal comes while this frame, of those that there are, is being read."""

    def opened(*words: str, **options: object) -> Source:
        source = open_source(*words, **options)
        frames = source._frames

        def interrupting() -> Iterator[Frame]:
            for index, frame in enumerate(frames()):
                if index == frame_number:
                    signal.raise_signal(number)
                yield frame

        source._frames = interrupting
        return source

    open_source = run.open_source
    return opened


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signal_ends_run_with_what_is_mapped(
    number: int, status: int, sequence: Path, tiny: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    usual = signal.getsignal(number)
    monkeypatch.setattr(run, "open_source", interrupted_before(6, number))
    assert cli.main(["run", str(sequence), "--out", str(tmp_path), *tiny]) == status
    assert len(read_trajectory(tmp_path / "trajectory.tum")) == 6
    assert len(read_ply(tmp_path / "map.ply")) > 0
    assert "interrupted: what is mapped is saved" in capsys.readouterr().err
    assert signal.getsignal(number) is usual


def test_hang_up_that_nohup_ignores_stays_ignored(
    sequence: Path, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        monkeypatch.setattr(run, "open_source", interrupted_before(3, signal.SIGHUP))
        assert cli.main(["run", str(sequence), "--out", str(tmp_path), *tiny]) == 0
    finally:
        signal.signal(signal.SIGHUP, usual)


@pytest.mark.usefixtures("default_signals")
def test_terminal_that_closes_leaves_the_map(sequence: Path, tiny: list[str], tmp_path: Path) -> None:
    """The process leads a session on a terminal of its own, whose other end is closed while it maps."""
    many, out = tmp_path / "many", tmp_path / "out"
    many.mkdir()
    images = sorted(sequence.glob("*.png"))
    for index in range(2000):
        (many / f"{index:04d}{images[0].suffix}").symlink_to(images[index % len(images)])
    master, slave = pty.openpty()
    words = [sys.executable, "-m", "slam3r_ros.cli.main", "run", str(many), "--out", str(out), *tiny]
    process = subprocess.Popen(
        words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(slave)
    said = b""
    while b" points" not in said:
        said += os.read(master, 4096)
    os.close(master)
    assert process.wait(180) == 129
    assert len(read_ply(out / "map.ply")) > 0


def test_standard_streams_that_are_closed_are_no_error(sequence: Path, tiny: list[str], tmp_path: Path) -> None:
    """As behind ``>&- 2>&-``, or in a daemon."""
    command = [sys.executable, "-m", "slam3r_ros.cli.main", "run", str(sequence), "--out", str(tmp_path), *tiny]
    closed = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command])
    assert closed.wait(180) == 0
    assert len(read_ply(tmp_path / "map.ply")) > 0
    with MapFile(tmp_path / "map.slam3r") as file:
        assert len(file.keyframe_ids()) == 2


def test_a_working_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    (gone := tmp_path / "gone").mkdir()
    command = [sys.executable, "-m", "slam3r_ros.cli.main", "run", str(tmp_path)]
    script = 'rmdir ../gone && exec "$@"'
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    done = subprocess.run(
        ["sh", "-c", script, "sh", *command], cwd=gone, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (
        2, "slam3r_ros: the folder that it was started in is gone: change to another one\n"
    )  # fmt: skip


def test_pipe_that_nobody_reads_and_no_home_leave_the_map(sequence: Path, tiny: list[str], tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    words = [sys.executable, "-m", "slam3r_ros.cli.main", "run", str(sequence), "--out", str(tmp_path), *tiny]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        process.stderr.close()
        assert process.wait(180) == 0
    assert len(read_ply(tmp_path / "map.ply")) > 0


@pytest.mark.parametrize("words", [["info", "MAP"], ["run", "--help"]])
def test_output_that_nobody_reads_is_no_error(
    words: list[str], sequence: Path, tiny: list[str], tmp_path: Path
) -> None:
    """As behind ``| head``."""
    assert cli.main(["run", str(sequence), "--out", str(tmp_path), *tiny]) == 0
    given = [str(tmp_path / "map.slam3r") if word == "MAP" else word for word in words]
    command = [sys.executable, "-c", "import sys; from slam3r_ros.cli.main import main; sys.exit(main())", *given]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(180) in (0, 141)


@pytest.mark.usefixtures("default_signals")
def test_ctrl_c_before_anything_is_mapped_leaves_an_earlier_map(
    sequence: Path, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "map.ply").write_text("of yesterday")
    monkeypatch.setattr(run, "open_source", interrupted_before(0))
    assert cli.main(["run", str(sequence), "--out", str(tmp_path), *tiny]) == 130
    assert (tmp_path / "map.ply").read_text() == "of yesterday"


@pytest.mark.parametrize(
    ("out", "reason"),
    [("file/map", "cannot make the folder '{}/file/map'"), ("~nosuchuser/map", "cannot write '~nosuchuser/map': ")],
)
def test_run_finds_that_it_cannot_save_before_it_maps(
    out: str, reason: str, sequence: Path, tiny: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "file").touch()
    monkeypatch.setattr(run, "map_source", lambda *_: pytest.fail("mapped in vain"))
    given = out if out.startswith("~") else str(tmp_path / out)
    assert cli.main(["run", str(sequence), "--out", given, *tiny]) == 2
    assert reason.format(tmp_path) in capsys.readouterr().err


@pytest.mark.parametrize("text", ["image_queue=5", "image_queue", ":=5", "image_queue:="])
def test_demo_refuses_what_is_no_parameter(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["demo", "-p", text])
    assert ended.value.code == 2
    assert f"argument -p: expected NAME:=VALUE, got '{text}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "hint"),
    [(["run", "x", "--ot", "y"], "--out"), (["run", "x", "--wieghts=y"], "--weights"), (["rum", "x"], "run")],
)
def test_what_was_meant_is_named(words: list[str], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = cli.main(words)
    except SystemExit as ended:
        status = int(ended.code or 0)
    assert status == 2
    assert capsys.readouterr().err.endswith(f"; did you mean {hint}?\n")


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"slam3r_ros {version('slam3r_ros')}\n"
    assert cli.main(["help"]) == 0
    assert "usage: slam3r_ros COMMAND ..." in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        cli.main(["help", "run"])
    assert ended.value.code == 0 and "usage: slam3r_ros run" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--rate", "0"], ["--rate", "fast"]])
def test_demo_refuses_numbers_that_it_cannot_use(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["demo", *words])
    assert ended.value.code == 2
    assert f"argument {words[0]}: expected a" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["nowhere.mp4"], "source 'nowhere.mp4' does not exist"),
        (["x", "--set", "windw.radius=1"], "unknown setting 'windw.radius'"),
        (["x", "--set", "window.radius"], "expected NAME=VALUE, got 'window.radius'"),
        (["SEQUENCE", "--weights", "nothing"], "weights 'nothing' are neither"),
        (
            ["SEQUENCE", "--out", "map.las", "--weights", "nothing"],
            "a map is saved as .ply, .pcd or .slam3r, or into a folder",
        ),
        (["nowhere.mp4", "--weights", "nothing"], "source 'nowhere.mp4' does not exist"),
    ],
)
def test_run_says_what_is_wrong(
    words: list[str], reason: str, sequence: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(sequence) if word == "SEQUENCE" else word for word in words]
    if "--weights" not in words and "--set" not in words:
        words = [*words, "--weights", str(Path(__file__).parents[1] / "data" / "golden" / "networks")]
    assert cli.main(["run", *words]) == 2
    assert reason in capsys.readouterr().err


def test_ctrl_c_while_a_command_is_being_imported_ends_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_path: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib, "import_module", interrupted)
    assert cli.main(["run", "video.mp4"]) == 130
