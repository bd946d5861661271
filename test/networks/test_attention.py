import pytest
import torch

from slam3r_ros.networks.attention import BACKENDS, BackendError, attention_function, choose_backend

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


def test_an_unknown_backend_lists_the_known_ones() -> None:
    with pytest.raises(BackendError, match="'flash' is unknown.*" + ", ".join(BACKENDS)):
        choose_backend("flash", CPU)


def test_xformers_where_it_cannot_run_says_what_to_do() -> None:
    with pytest.raises(BackendError, match="xformers.*choose sdpa"):
        choose_backend("xformers", CPU)
