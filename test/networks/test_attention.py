import time

import pytest
import torch
from torch import Tensor

from slam3r_ros.networks import attention
from slam3r_ros.networks.attention import (
    BACKENDS,
    AttentionLoad,
    BackendError,
    attention_function,
    choose_backend,
    quickest,
)

CPU = torch.device("cpu")


@pytest.mark.parametrize("backend", ["auto", "sdpa"])
def test_backends_agree_with_the_plain_formula(backend: str) -> None:
    generator = torch.Generator().manual_seed(0)
    queries, keys, values = (torch.randn(3, 4, 7, 8, generator=generator) for _ in range(3))
    expected = torch.stack(
        [
            (q @ k.T / 8**0.5).softmax(-1) @ v
            for q, k, v in zip(*(t.flatten(0, 1) for t in (queries, keys, values)), strict=True)
        ]
    )
    for name in (backend, "plain"):
        result = attention_function(name, CPU)(queries, keys, values)
        torch.testing.assert_close(result.flatten(0, 1), expected, rtol=1e-5, atol=1e-6)


def test_auto_is_sdpa_on_a_cpu() -> None:
    assert choose_backend("auto", CPU) == "sdpa"


def test_auto_takes_the_quicker_backend_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        time.sleep(0.002)
        return values

    def not_built(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        raise NotImplementedError("no operator found for this capability")

    load = AttentionLoad(torch.float32, tokens=4, heads=2, head_width=8, views=3)
    assert [tuple(tensor.shape) for tensor in load.random(CPU)] == [(3, 2, 4, 8)] * 3
    for sdpa, xformers, expected in (
        (slow, lambda q, k, v: v, "xformers"),
        (lambda q, k, v: v, slow, "sdpa"),
        (slow, not_built, "sdpa"),
    ):
        monkeypatch.setattr(attention, "_FUNCTIONS", {"sdpa": sdpa, "xformers": xformers})
        assert quickest(("sdpa", "xformers"), CPU, load) == expected


def test_auto_measures_only_where_there_is_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, load = torch.device("cuda"), AttentionLoad(torch.float16, tokens=4, heads=2, head_width=8)
    monkeypatch.setattr(attention, "quickest", lambda names, device, given: f"{names} {device} {given is load}")
    monkeypatch.setattr(attention.importlib.util, "find_spec", lambda name: object())
    assert choose_backend("auto", cuda, load) == "('sdpa', 'xformers') cuda True"
    assert choose_backend("auto", CPU, load) == "sdpa"
    monkeypatch.setattr(attention.importlib.util, "find_spec", lambda name: None)
    assert choose_backend("auto", cuda, load) == "sdpa"


def test_an_unknown_backend_lists_the_known_ones() -> None:
    with pytest.raises(BackendError, match="'flash' is unknown.*" + ", ".join(BACKENDS)):
        choose_backend("flash", CPU)


def test_xformers_where_it_cannot_run_says_what_to_do() -> None:
    with pytest.raises(BackendError, match="xformers.*choose sdpa"):
        choose_backend("xformers", CPU)
