"""Starting ROS in this process, with one sentence where it does not start."""

from __future__ import annotations

import os
from collections.abc import Sequence

import rclpy
from rclpy.context import Context
from rclpy.signals import SignalHandlerOptions

_DOMAIN_VARIABLE = "ROS_DOMAIN_ID"
_LAST_DOMAIN = 232
"""The last domain whose ports exist; Fast DDS ends a process that is given a later one."""


class RosStartError(RuntimeError):
    """ROS could not start; the message says why."""


def start_ros(
    arguments: Sequence[str] | None = None, context: Context | None = None, domain: int | None = None
) -> None:
    """Initialise rclpy, by default with this process's arguments and domain, and leave signals to others.

    Raises RosStartError for arguments that rcl refuses, a home in which it cannot write its logs, and a wrong domain.
    """
    given = os.environ.get(_DOMAIN_VARIABLE, "") if domain is None else str(domain)
    if given.isdecimal() and int(given) > _LAST_DOMAIN:
        raise RosStartError(f"{_DOMAIN_VARIABLE}: expected 0 to {_LAST_DOMAIN}, got {given}")
    options = SignalHandlerOptions.NO
    try:
        rclpy.init(args=arguments, context=context, domain_id=domain, signal_handler_options=options)
    except RuntimeError as error:
        hint = "; set ROS_LOG_DIR to a folder that can be written" if "logging" in str(error) else ""
        raise RosStartError(f"{error}{hint}") from error
