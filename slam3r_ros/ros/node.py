"""The lifecycle node `slam3r`: parameters, services, lifecycle and timers. All work is done in `pipeline.session`."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.timer import Timer
from std_srvs.srv import SetBool, Trigger

from slam3r_ros.io.files import OutputError
from slam3r_ros.io.stop_signals import StopRequest, stop_on_signals
from slam3r_ros.io.terminal import ensure_standard_streams
from slam3r_ros.map_file.errors import MapFileError
from slam3r_ros.msg import SlamStatus
from slam3r_ros.networks.attention import BackendError
from slam3r_ros.networks.errors import WeightsError
from slam3r_ros.ros.input.dds_transport import apply_transport
from slam3r_ros.ros.map_services import MapServices
from slam3r_ros.ros.output import diagnostics
from slam3r_ros.ros.parameters.declaration import declare_parameters, names_for_every_node
from slam3r_ros.ros.pipeline.session import Session, ThreadStuckError
from slam3r_ros.ros.pipeline.slam_runner import PublishingError
from slam3r_ros.ros.quality_of_service import LATCHED
from slam3r_ros.ros.services import NOT_CONFIGURED, REQUEST_FAILURES, failed, result_of
from slam3r_ros.ros.start import RosStartError, start_ros
from slam3r_ros.ros.throttled_log import ThrottledLog
from slam3r_ros.setting_spec import ChangeTime, SettingError
from slam3r_ros.srv import SaveMap, SetScale

Transition = Callable[["SlamNode", LifecycleState], TransitionCallbackReturn]

_DIAGNOSTICS_PERIOD_S = 1.0
"""Seconds between two messages on /diagnostics."""
_NO_IMAGE_WARNING_PERIOD_S = 60.0
"""Shortest time, in seconds, between two warnings in the log that no image comes."""
_SPIN_TIMEOUT_S = 0.2
"""Longest time, in seconds, that the executor waits for a callback before the main loop looks whether it is to stop."""


def _logging_errors(transition: Transition) -> Transition:
    """Log the exception that ends a transition; rclpy loses it and only reports that there was one."""

    @wraps(transition)
    def run(node: SlamNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except Exception as error:
            node.problem = f"{transition.__name__}: {type(error).__name__}: {error}"
            node.get_logger().error(f"{node.problem}\n{traceback.format_exc()}")
            raise

    return run


class SlamNode(LifecycleNode):
    """Reads parameters, makes the session when configured, forwards services to it, and publishes its state."""

    def __init__(self, **arguments: Any) -> None:
        """``arguments`` are those of rclpy's Node, without the name."""
        super().__init__(
            "slam3r",
            automatically_declare_parameters_from_overrides=True,  # `declare_parameters` needs them
            allow_undeclared_parameters=True,  # so that `_on_set_parameters` rejects them, by name
            **arguments,
        )
        self.log = ThrottledLog(self.get_logger(), lambda: self.get_clock().now().nanoseconds)
        self.problem = ""
        """What keeps the node from being active, in one sentence; empty if nothing does."""
        self._save_failure = ""  # why the map of the last session could not be saved
        self._session: Session | None = None
        self._active = False
        self._declared = declare_parameters(self, names_for_every_node([*sys.argv, *(arguments.get("cli_args") or ())]))
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._status = self.create_publisher(SlamStatus, "~/status", LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", QoSProfile(depth=10))
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_DIAGNOSTICS_PERIOD_S, self._publish_diagnostics, clock=self._steady)
        self._status_timer: Timer | None = None  # while the node is configured
        # A service awaits the mapping thread: in a group of its own it does not hold the images up meanwhile.
        group = MutuallyExclusiveCallbackGroup()
        self.create_service(Trigger, "~/reset", self._on_reset, callback_group=group)
        self.create_service(SetBool, "~/pause", self._on_pause, callback_group=group)
        self.create_service(SaveMap, "~/save_map", self._on_save_map, callback_group=group)
        self.create_service(SetScale, "~/set_scale", self._on_set_scale, callback_group=group)
        self._maps = MapServices(self, lambda: self._session, self.log, group, self._publish_status)
        back = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=False)
        self._jumps = self.get_clock().create_jump_callback(back, post_callback=self._on_clock_jump)

    def start(self) -> bool:
        """Configure and activate if the parameter autostart says so; False if that was tried and failed.

        Values that cannot be used are reported without autostart too; whoever configures the node can mend them.
        """
        is_autostart = bool(self.get_parameter("autostart").value)
        if not is_autostart and not self._declared.invalid:
            return True
        if self.trigger_configure() != TransitionCallbackReturn.SUCCESS:
            return not is_autostart
        return self.trigger_activate() == TransitionCallbackReturn.SUCCESS

    def shut_down(self) -> bool:
        """Stop, save the map if save_on_exit says so, and destroy everything; False if a map could not be saved."""
        if self._session is not None:
            self._end_session()
        self._jumps.unregister()
        return not self._save_failure

    # ---- lifecycle -----------------------------------------------------------------------------------------------

    @_logging_errors
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the parameters and load the networks."""
        try:
            settings = self._declared.read()
            self._session = Session(self, settings, self.log, self._publish_status)
        except (SettingError, WeightsError, BackendError, OutputError, MapFileError) as error:
            self.problem = f"not configured: {error}"
            self.get_logger().error(self.problem)
            return TransitionCallbackReturn.FAILURE
        self.problem = ""
        self._status_timer = self.create_timer(settings.status_period, self._publish_status, clock=self._steady)
        self.get_logger().info(f"configured with weights '{self._session.weights}'")
        return super().on_configure(state)

    @_logging_errors
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the camera and map."""
        assert self._session is not None
        self._use_parameters()
        try:
            self._session.activate()
        except ThreadStuckError as error:
            self.problem = f"not activated: {error}"
            self.get_logger().error(self.problem)
            return TransitionCallbackReturn.FAILURE
        self.problem = ""
        self._active = True
        self._publish_status()
        return super().on_activate(state)

    @_logging_errors
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe from the camera; the map stays."""
        self._stop_session()
        return super().on_deactivate(state)

    @_logging_errors
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release networks and map."""
        self._close_session()
        return super().on_cleanup(state)

    @_logging_errors
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End for good."""
        if self._session is not None:
            self._end_session()
        return super().on_shutdown(state)

    # ---- services ------------------------------------------------------------------------------------------------

    async def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._session is None:
            response.message = NOT_CONFIGURED
            return response
        try:
            await result_of(self, self._session.reset("reset by ~/reset"))
        except REQUEST_FAILURES as error:
            return failed(self.log, response, "reset", f"not reset: {error}")
        self._publish_status()
        response.success, response.message = True, "the map is empty; starting again with the next image"
        return response

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        if self._session is None:
            response.message = NOT_CONFIGURED
            return response
        self._session.pause(request.data)
        self._publish_status()
        response.success, response.message = True, "images are ignored" if request.data else "images are taken"
        return response

    async def _on_save_map(self, request: SaveMap.Request, response: SaveMap.Response) -> SaveMap.Response:
        if self._session is None:
            response.message = NOT_CONFIGURED
            return response
        try:
            saved = await result_of(self, self._session.save(request.path))
        except REQUEST_FAILURES as error:
            return failed(self.log, response, "save", f"map not saved: {error}")
        response.success = True
        response.message = f"saved {saved.point_count} points to {saved.map_path}"
        if saved.map_file_path is not None:
            response.message += f", and the map file {saved.map_file_path}"
        response.map_path, response.trajectory_path = str(saved.map_path), str(saved.trajectory_path)
        response.point_count, response.pose_count = saved.point_count, saved.pose_count
        return response

    async def _on_set_scale(self, request: SetScale.Request, response: SetScale.Response) -> SetScale.Response:
        if self._session is None:
            response.message = NOT_CONFIGURED
            return response
        try:
            response.message = await result_of(self, self._session.set_scale(request.metres_per_unit))
        except SettingError as error:
            response.message = f"metres_per_unit refused: {error}"
            return response
        except REQUEST_FAILURES as error:
            return failed(self.log, response, "scale", f"scale not set: {error}")
        response.success = True
        self._publish_status()
        return response

    # ---- callbacks -----------------------------------------------------------------------------------------------

    def _on_set_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        result = self._declared.accept(parameters, self._change_times)
        if result.successful and self._session is not None and (executor := self.executor) is not None:
            executor.create_task(self._use_parameters)  # once rclpy has set them, unless another callback refuses
        return result

    @property
    def _change_times(self) -> set[ChangeTime]:
        """When parameters have to be allowed to change for one to change now."""
        if self._session is None:
            return set(ChangeTime)
        return {ChangeTime.WHILE_ACTIVE} if self._active else {ChangeTime.WHILE_ACTIVE, ChangeTime.WHILE_INACTIVE}

    def _use_parameters(self) -> None:
        """Have the session use the parameters as they are now."""
        session, settings = self._session, self._declared.read()
        if session is None or settings == session.settings:
            return
        if settings.status_period != session.settings.status_period:
            self.destroy_timer(self._status_timer)
            self._status_timer = self.create_timer(settings.status_period, self._publish_status, clock=self._steady)
        session.change_settings(settings)

    def _on_clock_jump(self, jump: TimeJump) -> None:
        if self._session is not None:
            self._session.clock_jumped_back(self.get_clock().now().nanoseconds)

    def _publish_status(self) -> None:
        if self._session is not None:
            self._status.publish(self._session.status())

    def _publish_diagnostics(self) -> None:
        now_ns, name = self.get_clock().now().nanoseconds, self.get_fully_qualified_name()[1:]
        session = self._session
        if session is not None and session.failure is not None:
            remedy = "clean up and configure" if session.publishing_failed else "deactivate and activate"
            self.problem = f"mapping stopped by an error: {session.failure!r}; {remedy} the node"
            self.log.error("mapping", self.problem)
        if session is None or not self._active or self.problem:
            message = diagnostics.inactive_diagnostics(now_ns, name, self.problem)
        else:
            statistics, status = session.input_statistics(), session.status()
            if status.state != SlamStatus.PAUSED and statistics.silent_s > statistics.timeout_s:
                self.log.warn(
                    "no image",
                    f"no image for {statistics.silent_s:.0f} s on '{statistics.topic}'",
                    _NO_IMAGE_WARNING_PERIOD_S,
                )
            message = diagnostics.active_diagnostics(now_ns, name, statistics, status)
        self._diagnostics.publish(message)

    # ---- how -----------------------------------------------------------------------------------------------------

    def _stop_session(self) -> None:
        assert self._session is not None
        self._active = False
        try:
            self._session.deactivate()
        except ThreadStuckError as error:
            self.log.error("mapping", str(error))
        except PublishingError as error:
            self.log.error("mapping", f"the last frames are mapped and not published: {error}")

    def _end_session(self) -> None:
        """Deactivate and clean up; whatever happens to the last frames, the map is saved."""
        try:
            self._stop_session()
        finally:
            self._close_session()

    def _close_session(self) -> None:
        assert self._session is not None
        session, self._session = self._session, None
        self.destroy_timer(self._status_timer)
        self._save_failure = session.close()


def make_executor(context: Context | None = None) -> Executor:
    """Return rclpy's executor of events where it has one (Kilted and later), else the single-threaded executor.

    The latter builds its wait set again each time, in Python: for 3 ms an image the mapping thread has no interpreter.
    """
    try:
        from rclpy.experimental import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor(context=context)
    return EventsExecutor(context=context)


def main(arguments: list[str] | None = None) -> int:
    """Run the node until SIGINT, SIGTERM or SIGHUP.

    Returns 0 if it ended as asked, 1 if the map could not be saved then, 2 if ROS or the node could not start.
    """
    ensure_standard_streams()
    advice = apply_transport(os.environ)
    try:
        start_ros(arguments)
    except RosStartError as error:
        print(f"slam3r: {error}", file=sys.stderr)
        return 2
    with stop_on_signals() as stop:
        node = SlamNode()
        if advice:
            node.get_logger().warning(advice)
        executor = make_executor()
        executor.add_node(node)
        try:
            status = _run(node, executor, stop)
        finally:
            is_saved = node.shut_down()
            executor.shutdown()
            node.destroy_node()
            rclpy.try_shutdown()
    return status if is_saved else 1


def _run(node: SlamNode, executor: Executor, stop: StopRequest) -> int:
    """Start the node and run its callbacks until it is to stop; 2 if it could not start, else 0."""
    try:
        with stop.interrupting():
            if not node.start():
                node.get_logger().error("ending, since the node could not start (autostart: true)")
                return 2
        while not stop.is_set():
            executor.spin_once(timeout_sec=_SPIN_TIMEOUT_S)
    except KeyboardInterrupt:
        node.get_logger().info("ended while it was being configured")
    except ExternalShutdownException:
        node.get_logger().info("shut down from outside")
    return 0


if __name__ == "__main__":
    sys.exit(main())
