"""Every legal form of a bag gives the same messages; what is damaged gives what it has, and a remedy."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from bag_writing import compressed_message, image_message, info_message, write_bag
from mcap_writing import Form, mcap_file
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from slam3r_ros.io.bags.compression import zstd
from slam3r_ros.io.sources import Source, SourceError, open_source

COUNT = 7
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, 12, 16, 3), np.uint8)


def stamp(index: int) -> int:
    return 1_700_000_000_000_000_000 + index * 100_000_000


def messages(topic: str = "/eye/image") -> list[tuple[str, int, Any]]:
    found: list[tuple[str, int, Any]] = []
    for index, image in enumerate(IMAGES):
        found.append((topic, stamp(index), image_message(stamp(index), image)))
        found.append(("/eye/camera_info", stamp(index), info_message(stamp(index), 16, 12, 20.0)))
    return found


def indices(source: Source) -> list[int]:
    """Which of the images come, in their order; their content is what it was."""
    found = []
    for frame in source:
        (index,) = (index for index, image in enumerate(IMAGES) if np.array_equal(image, frame.image))
        assert frame.stamp_ns == stamp(index) and frame.camera is not None and frame.camera.fx == 20
        found.append(index)
    return found


FORMS = {
    "usual": Form(),
    "lz4": Form(compression="lz4"),
    "zstd": Form(compression="zstd"),
    "one chunk": Form(chunk_size=100),
    "no chunks": Form(chunk_size=0),
    "chunk index only": Form(message_index=False, statistics=False),
    "statistics only": Form(message_index=False, chunk_index=False),
    "channels in the data only": Form(repeated_channels=False),
    "no index": Form(message_index=False, chunk_index=False, statistics=False, compression="zstd"),
    "no summary": Form(summary=False),
    "no summary, no index": Form(summary=False, message_index=False, compression="lz4"),
    "no checksum": Form(checksum=False),
    "no profile": Form(profile=""),
    "definitions of another kind": Form(schema_encoding="unknown"),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_forms_of_mcap(tmp_path: Path, form: Form) -> None:
    (tmp_path / "bag.mcap").write_bytes(mcap_file(messages(), form).content)
    with open_source(str(tmp_path / "bag.mcap")) as source:
        assert indices(source) == list(range(COUNT)) == indices(source)
        assert source.length == COUNT and source.problems == []


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_messages_that_are_not_in_their_order(tmp_path: Path, form: Form) -> None:
    shuffled = messages()
    shuffled[2:10] = reversed(shuffled[2:10])
    (tmp_path / "bag.mcap").write_bytes(mcap_file(shuffled, form).content)
    assert indices(open_source(str(tmp_path / "bag.mcap"))) == list(range(COUNT))


def test_mcap_that_breaks_off_gives_what_it_has_and_names_the_remedy(tmp_path: Path) -> None:
    written = mcap_file(messages(), Form(compression="zstd"))
    (tmp_path / "bag.mcap").write_bytes(written.content[: written.chunks[4] + 50])
    source = open_source(str(tmp_path / "bag.mcap"))
    assert indices(source) == [0, 1, 2, 3]
    assert "bag.mcap breaks off after" in source.problems[0] and "mcap recover" in source.problems[0]
    (tmp_path / "bag.mcap").write_bytes(written.content[: written.chunks[0] + 50])
    with pytest.raises(SourceError, match=r"cannot be read: it breaks off .*mcap recover.* no message is"):
        open_source(str(tmp_path / "bag.mcap"))


def test_damaged_chunk_is_left_out_and_told(tmp_path: Path) -> None:
    written = mcap_file(messages(), Form(compression="zstd"))
    for position in range(written.chunks[2] + 80, written.chunks[2] + 120):
        written.content[position] ^= 0xFF
    (tmp_path / "bag.mcap").write_bytes(written.content)
    source = open_source(str(tmp_path / "bag.mcap"))
    assert indices(source) == [0, 1, 3, 4, 5, 6]
    assert "bag.mcap has a chunk at byte" in source.problems[0]


def test_messages_of_ros_1_are_told(tmp_path: Path) -> None:
    (tmp_path / "bag.mcap").write_bytes(mcap_file(messages(), Form(message_encoding="ros1", profile="ros1")).content)
    with pytest.raises(SourceError, match="'ros1', ROS 2 has cdr: convert it .rosbags-convert"):
        open_source(str(tmp_path / "bag.mcap"))


def test_random_damage_never_raises(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    opened = 0
    for attempt in range(60):
        content = bytearray(mcap_file(messages(), list(FORMS.values())[attempt % len(FORMS)]).content)
        for position in rng.integers(len(content), size=20):
            content[position] = rng.integers(256)
        (tmp_path / "bag.mcap").write_bytes(content[: rng.integers(len(content))] if attempt % 3 == 0 else content)
        try:
            source = open_source(str(tmp_path / "bag.mcap"), topic="/eye/image")
        except SourceError:
            continue
        opened += 1
        list(source)
    assert opened > 10


@pytest.mark.parametrize("kind", ["mcap", "db3"])
@pytest.mark.parametrize("packed", [False, True])
def test_parts_of_a_split_recording_without_metadata_are_one(tmp_path: Path, kind: str, packed: bool) -> None:
    whole = messages()
    for number, (begin, end) in {2: (0, 4), 9: (4, 8), 10: (8, 14)}.items():
        file = write_bag(tmp_path / str(number), kind, whole[begin:end])
        content = file.read_bytes()
        name = f"walk_{number}.{kind}"
        (tmp_path / "bag").mkdir(exist_ok=True)
        if packed:
            (tmp_path / "bag" / f"{name}.zstd").write_bytes(zstd.compress(content))
        else:
            (tmp_path / "bag" / name).write_bytes(content)
    with open_source(str(tmp_path / "bag")) as source:
        assert indices(source) == list(range(COUNT)) == indices(source) and source.length == COUNT
        assert source.problems == []


@pytest.mark.parametrize("kind", ["mcap", "db3"])
@pytest.mark.parametrize("mode", [CompressionMode.FILE, CompressionMode.MESSAGE])
@pytest.mark.parametrize("with_metadata", [True, False])
def test_compressed_recording(tmp_path: Path, kind: str, mode: CompressionMode, with_metadata: bool) -> None:
    plugin = {"mcap": StoragePlugin.MCAP, "db3": StoragePlugin.SQLITE3}[kind]
    writer = Writer(tmp_path / "bag", version=9, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    from bag_writing import TYPES

    with writer:
        connections: dict[str, Any] = {}
        for topic, recorded_ns, message in messages():
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, message.__msgtype__, typestore=TYPES)
            writer.write(connections[topic], recorded_ns, TYPES.serialize_cdr(message, message.__msgtype__))
    if not with_metadata:
        (tmp_path / "bag" / "metadata.yaml").unlink()
    assert indices(open_source(str(tmp_path / "bag"))) == list(range(COUNT))
    (file,) = (path for path in (tmp_path / "bag").iterdir() if path.name != "metadata.yaml")
    assert indices(open_source(str(file))) == list(range(COUNT)), file.name


def changed_metadata(folder: Path, **values: object) -> None:
    file = folder / "metadata.yaml"
    content = yaml.safe_load(file.read_text())
    content["rosbag2_bagfile_information"].update(values)
    file.write_text(yaml.safe_dump(content))


@pytest.mark.parametrize(
    "values",
    [
        {"storage_identifier": ""},
        {"version": 12},
        {"relative_file_paths": ["an/older/name_0.mcap"]},
        {"topics_with_message_count": None},
        {"compression_mode": "file", "compression_format": "zstd"},
    ],
)
def test_metadata_that_does_not_fit_its_bag(tmp_path: Path, values: dict[str, object]) -> None:
    folder = write_bag(tmp_path / "bag", "mcap", messages()).parent
    changed_metadata(folder, **values)
    assert indices(open_source(str(folder))) == list(range(COUNT))


@pytest.mark.parametrize("content", ["", "{", "- 1", "rosbag2_bagfile_information: 3", "\0"])
def test_metadata_that_is_none(tmp_path: Path, content: str) -> None:
    folder = write_bag(tmp_path / "bag", "db3", messages()).parent
    (folder / "metadata.yaml").write_text(content)
    assert indices(open_source(str(folder))) == list(range(COUNT))


def test_part_that_is_missing_or_empty_is_told(tmp_path: Path) -> None:
    folder = write_bag(tmp_path / "bag", "mcap", messages()).parent
    changed_metadata(folder, relative_file_paths=["bag.mcap", "bag_1.mcap", "bag_2.mcap"])
    (folder / "bag_2.mcap").touch()
    source = open_source(str(folder))
    assert indices(source) == list(range(COUNT))
    assert source.problems == [
        "bag_2.mcap left out: it is empty",
        "bag_1.mcap, which metadata.yaml names, is missing",
    ]
    (folder / "bag.mcap").unlink()
    with pytest.raises(SourceError, match="bag' cannot be read: it is empty"):
        open_source(str(folder))


def test_metadata_alone(tmp_path: Path) -> None:
    file = write_bag(tmp_path / "bag", "mcap", messages())
    file.unlink()
    with pytest.raises(SourceError, match=r"cannot be read: its folder has no .mcap or .db3 file"):
        open_source(str(file.parent))


def test_database_with_a_write_ahead_log(tmp_path: Path) -> None:
    """As a recording with the resilient preset leaves it after a power loss: the newest are in the log."""
    file = write_bag(tmp_path / "bag", "db3", messages())
    copy = tmp_path / "copy" / file.name
    copy.parent.mkdir()
    with sqlite3.connect(file) as database:
        rows = database.execute("SELECT * FROM messages WHERE topic_id = 1 ORDER BY timestamp").fetchall()
        database.execute("DELETE FROM messages WHERE topic_id = 1")
        database.commit()
        database.execute("PRAGMA journal_mode = WAL")
        database.executemany("INSERT INTO messages VALUES (?, ?, ?, ?)", rows)
        database.commit()
        for path in file.parent.iterdir():
            shutil.copy(path, copy.parent)
    (copy.parent / f"{file.name}-shm").unlink(missing_ok=True)
    assert indices(open_source(str(copy))) == list(range(COUNT))


@pytest.mark.parametrize("kind", ["mcap", "db3"])
@pytest.mark.parametrize("folder", ["what? 100%", "a#b", "ümlaut"])
def test_names_that_mean_something_in_addresses(tmp_path: Path, kind: str, folder: str) -> None:
    write_bag(tmp_path / "bag", kind, messages()).parent.rename(tmp_path / folder)
    assert indices(open_source(str(tmp_path / folder))) == list(range(COUNT))


def test_topics_that_share_a_name_with_a_transport(tmp_path: Path) -> None:
    raw = tmp_path / "raw.mcap"
    raw.write_bytes(mcap_file(messages("/eye/image/compressed"), Form()).content)
    assert indices(open_source(str(raw))) == list(range(COUNT)), "a raw image, whatever its topic is called"
    depth = [("/eye/depth/compressedDepth", stamp(0), compressed_message(stamp(0), IMAGES[0]))]
    raw.write_bytes(mcap_file(messages() + depth, Form()).content)
    assert indices(open_source(str(raw))) == list(range(COUNT)), "depth images are nothing to choose"


def test_bag_without_images_says_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "bag.mcap").write_bytes(mcap_file(messages()[1:2], Form()).content)
    with pytest.raises(SourceError, match=r"it has /eye/camera_info \(sensor_msgs/msg/CameraInfo\)"):
        open_source(str(tmp_path / "bag.mcap"))
