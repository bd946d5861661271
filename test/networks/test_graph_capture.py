"""Graph capture; on a CPU a tape of the operations stands in for the CUDA graph, with the same fixed addresses."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_events import only_map_updates
from network_answers import answers
from synthetic import textured_image
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from slam3r_ros.engine.slam import Slam
from slam3r_ros.networks import graph_capture
from slam3r_ros.networks.graph_capture import (
    TUNING,
    CapturedFunction,
    CapturedNetworks,
    CaptureMode,
    CudaGraph,
    CudaGraphs,
    Tensors,
    captured_by,
    with_cuda_graphs,
)
from slam3r_ros.networks.weights import Networks, load_networks
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import Frame

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
CPU = torch.device("cpu")


class Tape(TorchDispatchMode):
    """Stands in for torch.cuda.CUDAGraph: operations on the very tensors that they were captured on."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []
        self.replays = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.steps.append((func, args, kwargs or {}, result))
        return result

    def replay(self) -> None:
        self.replays += 1
        for func, args, kwargs, result in self.steps:
            for kept, new in zip(tree_leaves(result), tree_leaves(func(*args, **kwargs)), strict=True):
                if isinstance(kept, Tensor) and kept.data_ptr() != new.data_ptr():
                    kept.copy_(new)


class Stream:
    """Stands in for torch.cuda.Stream; remembers which one is current."""

    current: Stream

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.waited_for: list[Stream] = []

    def wait_stream(self, other: Stream) -> None:
        self.waited_for.append(other)


@contextlib.contextmanager
def on_stream(stream: Stream) -> Iterator[None]:
    before, Stream.current = Stream.current, stream
    try:
        yield
    finally:
        Stream.current = before


class Capture:
    """As torch.cuda.graph: where the end of a capture raises, the stream is not left."""

    fails = False

    def __init__(self, graph: Tape, *, pool: object, stream: Stream, capture_error_mode: str) -> None:
        assert Stream.current is stream and capture_error_mode == "thread_local"
        self.graph, self.stream, self.pool = graph, stream, pool

    def __enter__(self) -> None:
        Stream.current = self.stream
        self.graph.__enter__()

    def __exit__(self, *error: Any) -> None:
        self.graph.__exit__(*error)
        if Capture.fails or error[0] is not None:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture\nmore")


@pytest.fixture
def made_up_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    Stream.current = Stream(CPU)
    monkeypatch.setattr(Capture, "fails", False)
    for name, stand_in in {
        "Stream": Stream, "stream": on_stream, "current_stream": lambda _: Stream.current, "CUDAGraph": Tape,
        "graph": Capture, "graph_pool_handle": object, "device": lambda _: contextlib.nullcontext(),
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, stand_in)


def polynomial(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    total = x @ y
    total += 1
    return total.relu(), total[..., 0]


@pytest.mark.usefixtures("made_up_cuda")
def test_a_graph_reads_new_inputs_and_gives_results_of_their_own() -> None:
    generator = torch.Generator().manual_seed(0)
    given = [tuple(torch.randn(4, 4, generator=generator) for _ in range(2)) for _ in range(3)]
    main = Stream.current
    graph = CudaGraph(polynomial, given[0], Stream(CPU), object())
    assert Stream.current is main
    assert graph._graph.replays == 0
    results = [graph(*inputs) for inputs in given]
    for result, inputs in zip(results, given, strict=True):
        torch.testing.assert_close(result, polynomial(*inputs))


@pytest.mark.usefixtures("made_up_cuda")
def test_inputs_that_repeat_values_without_storing_them_are_taken() -> None:
    expanded = torch.arange(4.0).expand(4, 4)
    graph = CudaGraph(polynomial, (expanded, torch.eye(4)), Stream(CPU), object())
    torch.testing.assert_close(graph(2 * expanded, torch.eye(4)), polynomial(2 * expanded, torch.eye(4)))


@pytest.mark.usefixtures("made_up_cuda")
def test_after_a_failed_capture_everything_is_eager_and_it_is_told_once() -> None:
    main, graphs, inputs = Stream.current, CudaGraphs(CPU), (torch.eye(4), torch.ones(4, 4))
    assert isinstance(graphs.capture(polynomial, inputs), CudaGraph)
    Capture.fails = True
    with pytest.warns(RuntimeWarning, match="networks run eagerly: CUDA error: operation failed.*capture$"):
        assert graphs.capture(polynomial, inputs) is polynomial
    assert Stream.current is main
    assert graphs.capture(polynomial, inputs) is polynomial  # a warning would be an error here


@pytest.mark.usefixtures("made_up_cuda")
def test_a_function_that_runs_out_of_memory_while_captured_is_eager() -> None:
    def greedy(x: Tensor) -> tuple[Tensor, ...]:
        if Stream.current is not main:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return (x + 1,)

    main = Stream.current
    with pytest.warns(RuntimeWarning, match="Tried to allocate 2 GiB"):
        recorded = CudaGraphs(CPU).capture(greedy, (torch.ones(2),))
    assert recorded(torch.ones(2))[0].tolist() == [2.0, 2.0]


@pytest.mark.usefixtures("made_up_cuda")
def test_only_so_many_graphs_are_captured_and_they_share_pool_and_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    captures = []
    monkeypatch.setattr(graph_capture, "TUNING", replace(TUNING, most_graphs=3))
    monkeypatch.setattr(torch.cuda, "graph", lambda *a, **k: (captures.append(k), Capture(*a, **k))[1])
    graphs = CudaGraphs(CPU)
    inputs = (torch.eye(4), torch.ones(4, 4))
    recorded = [graphs.capture(polynomial, inputs) for _ in range(5)]
    assert [isinstance(each, CudaGraph) for each in recorded] == [True] * 3 + [False] * 2
    assert len({(id(capture["pool"]), id(capture["stream"])) for capture in captures}) == 1


@torch.inference_mode()
def compare_with_plain(plain: Networks, captured: CapturedNetworks, tolerance: float) -> None:
    for call in range(4):
        for sources in (2, 3):  # shapes take turns, as do graphs
            for got, expected in zip(answers(captured, call, sources), answers(plain, call, sources), strict=True):
                torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


def captured_by_graphs(networks: Networks) -> CapturedNetworks:
    return captured_by(networks, CaptureMode(CudaGraphs(networks.device).capture, calls_before=1))


@pytest.mark.usefixtures("made_up_cuda")
def test_nothing_in_the_networks_is_fixed_by_a_capture(
    golden_networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(CudaGraph, "__call__", lambda *a, call=CudaGraph.__call__: (calls.append(a[0]), call(*a))[1])
    compare_with_plain(golden_networks, captured_by_graphs(golden_networks), 1e-5)
    assert len({id(graph) for graph in calls}) > 10


@needs_cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_on_a_gpu_graphs_answer_as_the_networks_do(golden: Path, dtype: torch.dtype) -> None:
    precision = str(dtype).removeprefix("torch.")
    networks = load_networks(str(golden / "networks"), device="cuda", precision=precision)
    compare_with_plain(networks, captured_by_graphs(networks), 1e-4 if dtype is torch.float32 else 0.05)


@needs_cuda
def test_on_a_gpu_a_function_that_waits_is_not_captured() -> None:
    def waits(x: Tensor) -> tuple[Tensor, ...]:
        return (x * float(x.sum()),)

    x = torch.ones(3, device="cuda")
    stream = torch.cuda.current_stream()
    with pytest.warns(RuntimeWarning, match="networks run eagerly"):
        recorded = CudaGraphs(x.device).capture(waits, (x,))
    assert recorded(x)[0].tolist() == [3.0] * 3
    assert torch.cuda.current_stream() == stream


@pytest.mark.usefixtures("made_up_cuda")
def test_the_engine_s_result_is_the_same(golden_networks: Networks) -> None:
    settings = SlamSettings().with_values({"window.stride": 1, "initialize.minimum_confidence": 0.0})
    results = []
    for networks in (golden_networks, captured_by_graphs(golden_networks)):
        slam = Slam(networks, settings)
        events = [event for n in range(20) for event in slam.push(Frame(n, textured_image(n)))]
        results.append(only_map_updates(events))
    for plain, captured in zip(*results, strict=True):
        assert plain.index == captured.index
        got, expected = (torch.from_numpy(each.pointmaps.points_world) for each in (captured, plain))
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4)


def capture(function: Callable[..., Tensors], inputs: Tensors) -> Callable[..., Tensors]:
    """Stands in for a captured graph: the same answers, in ``function`` no call more."""
    (factor,) = (result / given for result, given in zip(function(*inputs), inputs, strict=True))
    return lambda *tensors: tuple(tensor * factor for tensor in tensors)


def test_a_shape_is_captured_when_it_comes_again_and_again() -> None:
    calls = []

    def double(x: Tensor) -> tuple[Tensor]:
        calls.append(tuple(x.shape))
        return (2 * x,)

    function = CapturedFunction(double, CaptureMode(capture))
    for number in range(1, TUNING.calls_before_capture + 5):
        assert torch.equal(function(torch.full((3,), float(number)))[0], torch.full((3,), 2.0 * number))
    assert calls == [(3,)] * (TUNING.calls_before_capture + 1)


@pytest.mark.parametrize("size", [1, TUNING.most_shapes + 1])
def test_only_so_many_shapes_are_captured(size: int) -> None:
    calls = []

    def double(x: Tensor) -> tuple[Tensor]:
        calls.append(x.shape)
        return (2 * x,)

    function = CapturedFunction(double, CaptureMode(capture))
    for _ in range(TUNING.calls_before_capture + 2):
        for length in range(1, size + 1):
            function(torch.ones(length))
    assert len(calls) == (TUNING.calls_before_capture + 1) * size + (size > TUNING.most_shapes)


def test_on_a_cpu_networks_stay_as_they_are(golden_networks: Networks) -> None:
    assert with_cuda_graphs(golden_networks) is golden_networks
