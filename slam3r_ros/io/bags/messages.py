"""What every storage of a bag gives."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Protocol


class BagError(ValueError):
    """A bag cannot be read; the message says why and what to do, without the bag's name."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic of a bag."""

    name: str
    """The topic's name, such as /camera/image_raw."""
    message_type: str
    """The type of its messages, such as sensor_msgs/msg/Image."""
    encoding: str
    """How its messages are serialised: cdr for ROS 2."""


@dataclass(frozen=True, slots=True)
class RecordedMessage:
    """One message, not deserialised."""

    topic: Topic
    """The topic it was published on."""
    recorded_ns: int
    """The time of its recording, integer nanoseconds."""
    data: bytes
    """The serialised message."""


class BagStorage(Protocol):
    """One file of a bag."""

    counts: dict[Topic, int]
    """The number of messages of every topic."""
    problems: list[str]
    """What is wrong with the file and leaves some of its messages readable, one sentence each."""

    def messages(self, topics: Collection[Topic]) -> Iterator[RecordedMessage]:
        """The messages of these topics in the order of recording. What cannot be read is left out and becomes one of
        the `problems`."""
