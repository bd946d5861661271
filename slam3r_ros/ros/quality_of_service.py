"""Qualities of service that several topics share."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, QoSProfile

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""Quality of service of latched topics: reliable, and who subscribes late gets the newest message."""
