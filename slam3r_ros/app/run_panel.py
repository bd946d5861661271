"""The first panel of the app: choose a source, set, run, stop."""

from __future__ import annotations

import html

import viser

from slam3r_ros.app.runs import RunReport, RunState
from slam3r_ros.app.settings_form import SettingsForm
from slam3r_ros.app.upload_field import UPLOAD_FIELD_HEIGHT_PX
from slam3r_ros.app.upload_route import UPLOAD_PATH, VISITOR_PARAMETER
from slam3r_ros.app.visitors import EXAMPLE_SOURCE, BusyError, Visitor
from slam3r_ros.setting_spec import SettingError

_UPLOAD, _EXAMPLE = "My own files", "Example: a walk through a room"
_EXAMPLE_REMARK = "300 images of a rendered room, 640 x 480 pixels, 10 s."
_WEBCAM_REMARK = "The camera of the computer that maps, until you stop it."
_COLOURS = {
    RunState.QUEUED: "#f08c00",
    RunState.STARTING: "#1c7ed6",
    RunState.RUNNING: "#1c7ed6",
    RunState.STOPPING: "#f08c00",
    RunState.DONE: "#2fb344",
    RunState.FAILED: "#e03131",
}


class RunPanel:
    """One browser's panel. Its callbacks run in viser's threads; `update` is called by the page's."""

    def __init__(self, client: viser.ClientHandle, visitor: Visitor, webcams: tuple[str, ...]) -> None:
        self._client, self._visitor = client, visitor
        self._sources: dict[str, str | None] = {_UPLOAD: None, _EXAMPLE: EXAMPLE_SOURCE}
        self._sources.update({name.replace("webcam:", "Webcam "): name for name in webcams})
        self._shown: object = None
        gui = client.gui
        self._source = gui.add_dropdown("Map", tuple(self._sources), initial_value=_UPLOAD)
        self._upload = gui.add_html(_upload_frame(visitor.key))
        self._remark = gui.add_markdown("", visible=False)
        self._topic = gui.add_dropdown("Image topic", ("",), visible=False)
        self._settings = SettingsForm(gui)
        self._run = gui.add_button("Run", icon=viser.Icon.PLAYER_PLAY)
        self._stop = gui.add_button("Stop and keep the map", icon=viser.Icon.PLAYER_STOP, color="red", visible=False)
        self._bar = gui.add_progress_bar(0.0, visible=False)
        self._sentence = gui.add_html("")
        self._source.on_update(lambda _: self._choose())
        self._run.on_click(lambda _: self._begin())
        self._stop.on_click(lambda _: self._visitor.stop_run())

    def update(self) -> None:
        """Follow upload and run."""
        upload, report = self._visitor.upload, self._visitor.run_report()
        state = (upload, None if report is None else (report.state, report.sentence))
        if state == self._shown:
            return
        self._shown = state
        self._offer_topics(() if upload is None else upload.topics)
        is_busy = report is not None and not report.state.is_over
        self._run.visible, self._stop.visible = not is_busy, is_busy
        self._source.disabled = is_busy
        self._bar.visible = is_busy
        if report is not None:
            self._stop.disabled = report.state is RunState.STOPPING
            self._bar.value = 100.0 * report.share  # type: ignore[misc]  # viser's setter, which mypy does not see
            has_length = report.progress is not None and report.progress.total is not None
            self._bar.animated = report.state is not RunState.RUNNING or not has_length
            self._sentence.content = run_html(report)

    def _offer_topics(self, topics: tuple[str, ...]) -> None:
        """Let the visitor choose where a bag has several topics of images."""
        if topics and self._topic.options != topics:
            self._topic.options = topics  # which chooses the first of them
        self._topic.visible = len(topics) > 1 and self._source.value == _UPLOAD

    def _choose(self) -> None:
        chosen = self._source.value
        self._upload.visible = chosen == _UPLOAD
        self._remark.content = _EXAMPLE_REMARK if chosen == _EXAMPLE else _WEBCAM_REMARK
        self._remark.visible = chosen != _UPLOAD
        upload = self._visitor.upload
        self._offer_topics(() if upload is None else upload.topics)

    def _begin(self) -> None:
        source, upload = self._sources[self._source.value], self._visitor.upload
        topic = self._topic.value if source is None and upload is not None and upload.topics else None
        try:
            self._visitor.begin_run(source, topic, self._settings.values())
        except (SettingError, BusyError) as error:
            self._client.add_notification("Not begun", str(error), color="red", auto_close_seconds=8)


def run_html(report: RunReport) -> str:
    """The state of a run. What files and engine say goes in as text, whatever it holds."""
    problems = () if report.outcome is None else report.outcome.problems
    rows = "".join(f"<li>{html.escape(problem)}</li>" for problem in problems[:5])
    more = f"<li>and {len(problems) - 5} more</li>" if len(problems) > 5 else ""
    notes = f'<ul style="margin:0.3em 0 0;padding-left:1.3em;opacity:0.75">{rows}{more}</ul>' if rows else ""
    return (
        f'<div style="padding:0.2em 0.9em 0.5em;font-size:0.85em;line-height:1.45;overflow-wrap:anywhere">'
        f'<span style="background:{_COLOURS[report.state]};color:white;border-radius:4px;padding:1px 7px;'
        f'font-weight:600;font-size:0.85em">{report.state.value.upper()}</span> '
        f'<span class="slam3r-run">{html.escape(report.sentence)}</span>{notes}</div>'
    )


def _upload_frame(key: str) -> str:
    address = f"{UPLOAD_PATH}?dark=1&amp;{VISITOR_PARAMETER}={html.escape(key)}"
    style = f"border:0;display:block;width:100%;height:{UPLOAD_FIELD_HEIGHT_PX}px;color-scheme:dark"
    frame = f'<iframe title="Upload" src="{address}" style="{style}"></iframe>'
    return f'<div style="padding:0.2em 0.75em 0.5em">{frame}</div>'
