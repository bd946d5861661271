"""What the engine leaves out or keeps changes no result."""

import pytest
import torch
from torch import Tensor

from slam3r_ros.networks.blocks import CrossAttention, LayerActivations
from slam3r_ros.networks.weights import Networks


@pytest.fixture(scope="module")
def tokens(golden_networks: Networks) -> Tensor:
    images = torch.rand(6, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 2 - 1
    return golden_networks.i2p.encode(images)


@pytest.fixture(scope="module")
def points() -> Tensor:
    return torch.randn(6, 64, 64, 3, generator=torch.Generator().manual_seed(4))


def assert_same(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def test_encoding_frames_one_by_one_is_encoding_them_together(golden_networks: Networks) -> None:
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(5)) * 2 - 1
    one_by_one = torch.cat([golden_networks.i2p.encode(image[None]) for image in images])
    assert_same(one_by_one, golden_networks.i2p.encode(images))


def test_sources_last_layer_and_head_are_not_needed_for_the_reference(
    golden_networks: Networks, tokens: Tensor
) -> None:
    i2p = golden_networks.i2p
    x = i2p.decoder_tokens(tokens)[None]
    reference, sources = i2p.reference_activations(x[:, :1]), i2p.source_activations(x[:, 1:])
    whole, _ = i2p.decode(reference, sources)
    part, nothing = i2p.decode(reference, sources, need_sources=False)
    assert nothing is None
    assert torch.equal(part.points, whole.points)
    assert torch.equal(part.confidence, whole.confidence)


def test_references_last_layer_and_head_are_not_needed_in_l2w(
    golden_networks: Networks, tokens: Tensor, points: Tensor
) -> None:
    l2w = golden_networks.l2w
    _, whole = l2w(tokens[None, :4], points[None, :4], tokens[None, 4:], points[None, 4:])
    embedding = l2w.embed_points(points)[None]
    x = l2w.decoder_tokens(tokens)[None] + embedding
    nothing, part = l2w.decode(
        l2w.reference_activations(x[:, :4]),
        l2w.source_activations(x[:, 4:]),
        embedding[:, :4],
        embedding[:, 4:],
        need_references=False,
    )
    assert nothing is None
    assert_same(part.points, whole.points)
    assert_same(part.confidence, whole.confidence)


def test_layer_zero_can_be_kept_with_each_frame(golden_networks: Networks, tokens: Tensor) -> None:
    i2p = golden_networks.i2p
    expected = i2p(tokens[None, :4], reference=0)
    references = [i2p.reference_activations(i2p.decoder_tokens(frame[None]))[0] for frame in tokens]
    sources = [i2p.source_activations(i2p.decoder_tokens(frame[None]))[0] for frame in tokens]
    kept, _ = i2p.decode(LayerActivations.stack(references[:1])[None], LayerActivations.stack(sources[1:4])[None])
    assert_same(kept.points[:, 0], expected.points[:, 0])


def test_windows_of_one_length_are_one_batch(golden_networks: Networks, tokens: Tensor) -> None:
    windows = torch.stack([tokens[:3], tokens[3:]])
    together = golden_networks.i2p(windows)
    for number in range(2):
        assert_same(golden_networks.i2p(windows[number : number + 1]).points[0], together.points[number])


def test_queries_of_one_retrieval_are_one_batch(golden_networks: Networks, tokens: Tensor) -> None:
    i2p = golden_networks.i2p
    x = i2p.decoder_tokens(tokens)
    candidates = i2p.source_activations(x[2:])[None]
    together = i2p.correlation(i2p.reference_activations(x[:2, None]), candidates)
    for query in range(2):
        assert_same(
            i2p.correlation(i2p.reference_activations(x[query : query + 1])[None], candidates)[0], together[query]
        )


def test_the_order_of_sources_does_not_matter(golden_networks: Networks, tokens: Tensor) -> None:
    order = [0, 4, 2, 5, 1, 3]
    expected, got = golden_networks.i2p(tokens[None]), golden_networks.i2p(tokens[None, order])
    assert_same(got.points, expected.points[:, order])


def test_keys_and_values_are_computed_once_a_layer_and_view(
    golden_networks: Networks, tokens: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    original = CrossAttention.keys_values

    def counted(self: CrossAttention, y: Tensor, rotary: torch.nn.Module) -> tuple[Tensor, Tensor]:
        seen.append(y.shape[0])
        return original(self, y, rotary)  # type: ignore[arg-type]

    monkeypatch.setattr(CrossAttention, "keys_values", counted)
    golden_networks.i2p(tokens[None])
    assert sum(seen) == 6 * golden_networks.i2p.config.decoder_depth  # six views, each heard once a layer


def test_correlation_does_without_the_reference_side_of_its_last_layer(
    golden_networks: Networks, tokens: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    i2p, rotary = golden_networks.i2p, golden_networks.i2p.decoder_rotary
    x = i2p.decoder_tokens(tokens)
    calls: list[str] = []
    for number, block in enumerate(i2p.reference_blocks):
        forward = lambda *given, number=number, run=block.forward: (calls.append(f"layer {number}"), run(*given))[1]  # noqa: E731
        monkeypatch.setattr(block, "forward", forward)
    got = i2p.correlation(i2p.reference_activations(x[:1])[None], i2p.source_activations(x[1:])[None])
    monkeypatch.undo()
    assert calls == ["layer 0"]
    # The definition: every layer in full on both sides, then norm and MLP of the sources.
    reference_x, source_x = x[:1], x[1:]
    for block1, block2 in zip(i2p.reference_blocks[:2], i2p.source_blocks[:2], strict=True):
        reference_x, source_x = (
            block1(*block1.attend(reference_x, rotary), *block1.keys_values(source_x, rotary), 1),
            block2(*block2.attend(source_x, rotary), *block2.keys_values(reference_x, rotary), 1),
        )
    expected = 1 + i2p.correlation_head(i2p.correlation_norm(source_x))[..., 0].exp()
    assert_same(got[0], expected)
