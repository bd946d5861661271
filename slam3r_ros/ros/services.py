"""What the services of the node share: they await the mapping thread, and say why a request failed."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol, TypeVar

from rclpy.node import Node
from rclpy.task import Future as RosFuture

from slam3r_ros.ros.throttled_log import ThrottledLog

Result = TypeVar("Result")

NOT_CONFIGURED = "the node is not configured; configure and activate it first"
"""Answer of every service while the node is not configured."""
REQUEST_FAILURES = (OSError, RuntimeError, ValueError)
"""Exceptions by which a request to the mapping thread fails."""


class _Answer(Protocol):
    message: str


Response = TypeVar("Response", bound=_Answer)


async def result_of(node: Node, future: Future[Result]) -> Result:
    """Await the result of a request to the mapping thread, without holding the executor of the node up."""
    done: RosFuture = RosFuture(executor=node.executor)
    future.add_done_callback(lambda _: done.set_result(None))
    await done
    return future.result()


def failed(log: ThrottledLog, response: Response, key: str, reason: str) -> Response:
    """Log why a service has failed, and return the response that says so."""
    response.message = reason
    log.error(key, reason)
    return response
