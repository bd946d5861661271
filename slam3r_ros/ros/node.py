"""The lifecycle node `slam3r`: wiring only."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from functools import wraps
from typing import Any, TypeVar

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
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future as RosFuture
from std_srvs.srv import SetBool, Trigger

from slam3r_ros.msg import SlamStatus
from slam3r_ros.networks.attention import BackendError
from slam3r_ros.networks.errors import WeightsError
from slam3r_ros.ros.input.transport import use_transport
from slam3r_ros.ros.output import diagnostics
from slam3r_ros.ros.output.outputs import LATCHED
from slam3r_ros.ros.parameters.declaration import declare_parameters
from slam3r_ros.ros.pipeline.session import Session, WorkerStuckError
from slam3r_ros.ros.pipeline.slam_runner import PublishingError
from slam3r_ros.ros.pipeline.stopping import stop_on_signals
from slam3r_ros.ros.pipeline.throttled_log import ThrottledLog
from slam3r_ros.setting_spec import SettingError
from slam3r_ros.srv import SaveMap, SetScale

Result = TypeVar("Result")
Response = TypeVar("Response", Trigger.Response, SaveMap.Response, SetScale.Response)
_DIAGNOSTICS_PERIOD_S = 1.0
_NOT_ACTIVE = "the node is not configured; configure and activate it first"
_REQUEST_FAILURES = (OSError, RuntimeError, ValueError)
"""What the worker answers a request with that it cannot fulfil."""


Transition = Callable[["SlamNode", LifecycleState], TransitionCallbackReturn]


def _reported(transition: Transition) -> Transition:
    """Log the error that ends a transition; rclpy loses it and only reports that there was one."""

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
    """Parameters to settings, messages to the ring, services to the session, its state to topics."""

    def __init__(self, **arguments: Any) -> None:
        """``arguments`` are those of rclpy's Node, without the name."""
        super().__init__(
            "slam3r",
            automatically_declare_parameters_from_overrides=True,  # `declare_parameters` needs them
            allow_undeclared_parameters=True,  # so that `_on_set_parameters` refuses them, by name
            **arguments,
        )
        self.notices = ThrottledLog(self.get_logger(), lambda: self.get_clock().now().nanoseconds)
        self.problem = ""
        """What keeps the node from running, in one sentence."""
        self._session: Session | None = None
        self._active = False
        self._declared = declare_parameters(self)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._status = self.create_publisher(SlamStatus, "~/status", LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", QoSProfile(depth=10))
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_DIAGNOSTICS_PERIOD_S, self._publish_diagnostics, clock=self._steady)
        self._status_timer: Any = None
        # A service waits for the worker: in a group of its own it does not hold the images up meanwhile.
        group = MutuallyExclusiveCallbackGroup()
        reset: Any = self._on_reset  # rclpy takes coroutines, its types do not say so
        self.create_service(Trigger, "~/reset", reset, callback_group=group)
        self.create_service(SetBool, "~/pause", self._on_pause, callback_group=group)
        self.create_service(SaveMap, "~/save_map", self._on_save_map, callback_group=group)
        set_scale: Any = self._on_set_scale
        self.create_service(SetScale, "~/set_scale", set_scale, callback_group=group)
        back = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=False)
        self._jumps = self.get_clock().create_jump_callback(back, post_callback=self._on_clock_jump)

    def start(self) -> None:
        """Configure and activate if the parameter autostart says so."""
        if not self.get_parameter("autostart").value and not self._declared.wrong:
            return
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def finish(self) -> None:
        """Stop, save the map if asked to, and give everything back."""
        if self._session is not None:
            self._end_session()
        self._jumps.unregister()

    # ---- lifecycle -----------------------------------------------------------------------------------------------

    @_reported
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the parameters and load the networks."""
        try:
            settings = self._declared.read()
            self._session = Session(self, settings, self.notices, self._publish_status)
        except (SettingError, WeightsError, BackendError) as error:
            self.problem = f"not configured: {error}"
            self.get_logger().error(self.problem)
            return TransitionCallbackReturn.FAILURE
        self.problem = ""
        self._status_timer = self.create_timer(settings.status_period, self._publish_status, clock=self._steady)
        self.get_logger().info(f"configured with weights '{self._session.weights}'")
        return super().on_configure(state)

    @_reported
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Listen to the camera."""
        assert self._session is not None
        try:
            self._session.activate()
        except WorkerStuckError as error:
            self.problem = f"not activated: {error}"
            self.get_logger().error(self.problem)
            return TransitionCallbackReturn.FAILURE
        self.problem = ""
        self._active = True
        self._publish_status()
        return super().on_activate(state)

    @_reported
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop taking images; the map stays."""
        self._stop_session()
        return super().on_deactivate(state)

    @_reported
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let networks and map go."""
        self._close_session()
        return super().on_cleanup(state)

    @_reported
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End for good."""
        if self._session is not None:
            self._end_session()
        return super().on_shutdown(state)

    # ---- services ------------------------------------------------------------------------------------------------

    async def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._session is None:
            response.message = _NOT_ACTIVE
            return response
        try:
            await self._wait_for(self._session.reset("reset by ~/reset"))
        except _REQUEST_FAILURES as error:
            return self._refused(response, "reset", f"not reset: {error}")
        self._publish_status()
        response.success, response.message = True, "the map is empty; starting again with the next image"
        return response

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        if self._session is None:
            response.message = _NOT_ACTIVE
            return response
        self._session.pause(request.data)
        self._publish_status()
        response.success, response.message = True, "images are ignored" if request.data else "images are taken"
        return response

    async def _on_save_map(self, request: SaveMap.Request, response: SaveMap.Response) -> SaveMap.Response:
        if self._session is None:
            response.message = _NOT_ACTIVE
            return response
        try:
            saved = await self._wait_for(self._session.save(request.path))
        except _REQUEST_FAILURES as error:
            return self._refused(response, "save", f"map not saved: {error}")
        response.success = True
        response.message = f"saved {saved.point_count} points to {saved.map_path}"
        response.map_path, response.trajectory_path = str(saved.map_path), str(saved.trajectory_path)
        response.point_count, response.pose_count = saved.point_count, saved.pose_count
        return response

    async def _on_set_scale(self, request: SetScale.Request, response: SetScale.Response) -> SetScale.Response:
        if self._session is None:
            response.message = _NOT_ACTIVE
            return response
        try:
            response.message = await self._wait_for(self._session.set_scale(request.metres_per_unit))
        except SettingError as error:
            response.message = f"metres_per_unit refused: {error}"
            return response
        except _REQUEST_FAILURES as error:
            return self._refused(response, "scale", f"scale not set: {error}")
        response.success = True
        self._publish_status()
        return response

    # ---- callbacks -----------------------------------------------------------------------------------------------

    def _on_set_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        return self._declared.accept(parameters, configured=self._session is not None)

    def _on_clock_jump(self, jump: TimeJump) -> None:
        if self._session is not None:
            self._session.clock_jumped_back(self.get_clock().now().nanoseconds)

    def _publish_status(self) -> None:
        if self._session is not None:
            self._status.publish(self._session.status())

    def _publish_diagnostics(self) -> None:
        now_ns = self.get_clock().now().nanoseconds
        session = self._session
        if session is not None and session.failure is not None:
            remedy = "clean up and configure" if session.publishing_failed else "deactivate and activate"
            self.problem = f"mapping stopped by an error: {session.failure!r}; {remedy} the node"
            self.notices.error("worker", self.problem)
        if session is None or not self._active or self.problem:
            message = diagnostics.not_running(now_ns, self.get_fully_qualified_name()[1:], self.problem)
        else:
            health, status = session.input_health(), session.status()
            if status.state != SlamStatus.PAUSED and health.silent_s > health.timeout_s:
                self.notices.warn("no image", f"no image for {health.silent_s:.0f} s on '{health.topic}'", 60.0)
            message = diagnostics.running(now_ns, self.get_fully_qualified_name()[1:], health, status)
        self._diagnostics.publish(message)

    # ---- how -----------------------------------------------------------------------------------------------------

    def _stop_session(self) -> None:
        assert self._session is not None
        self._active = False
        try:
            self._session.deactivate()
        except WorkerStuckError as error:
            self.notices.error("worker", str(error))
        except PublishingError as error:
            self.notices.error("worker", f"the last frames are mapped and not published: {error}")

    def _end_session(self) -> None:
        """Whatever happens to the last frames, the map is saved."""
        try:
            self._stop_session()
        finally:
            self._close_session()

    def _close_session(self) -> None:
        assert self._session is not None
        session, self._session = self._session, None
        self.destroy_timer(self._status_timer)
        session.close()

    def _refused(self, response: Response, kind: str, why: str) -> Response:
        """The answer of a service that could not do what it was asked for."""
        response.message = why
        self.notices.error(kind, why)
        return response

    async def _wait_for(self, future: Future[Result]) -> Result:
        """The result of what the worker does, without holding the executor up."""
        done: RosFuture = RosFuture(executor=self.executor)
        future.add_done_callback(lambda _: done.set_result(None))
        await done
        return future.result()


def make_executor(context: Context | None = None) -> Executor:
    """The executor of events where rclpy has it (Kilted and later), else the one that builds its wait set each time.

    The latter's Python keeps the interpreter from the worker for 3 ms an image.
    """
    try:
        from rclpy.experimental import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor(context=context)
    return EventsExecutor(context=context)


def main(arguments: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; 0 if it ended as asked."""
    advice = use_transport(os.environ)
    try:
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # how rclpy tells of arguments or a parameter file it cannot read
        print(f"slam3r: {error}", file=sys.stderr)
        return 2
    with stop_on_signals() as stop:
        node = SlamNode()
        if advice:
            node.get_logger().warning(advice)
        executor = make_executor()
        executor.add_node(node)
        try:
            node.start()
            while not stop.is_set():
                executor.spin_once(timeout_sec=0.2)
        except ExternalShutdownException:
            node.get_logger().info("shut down from outside")
        finally:
            node.finish()
            executor.shutdown()
            node.destroy_node()
            rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
