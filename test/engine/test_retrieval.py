from dataclasses import replace

import numpy as np
import pytest
import torch

from slam3r_lab.benchmarks.scene import random_keyframes
from slam3r_ros.engine.keyframe_buffer import KeyframeBuffer
from slam3r_ros.engine.local_to_world_stage import LocalToWorldStage
from slam3r_ros.engine.retrieval import Retrieval, RetrievalResult
from slam3r_ros.engine.tuning import TUNING
from slam3r_ros.networks.weights import Networks
from slam3r_ros.settings import KeyframeSettings
from slam3r_ros.types import EncodedFrame

SCENE_FRAMES, SHORTLIST, COUNT = 3, 12, 40


@pytest.fixture(scope="module")
def buffer(golden_networks: Networks) -> KeyframeBuffer:
    registrar = LocalToWorldStage(golden_networks.l2w, normalise_input=False)
    return KeyframeBuffer(
        random_keyframes(golden_networks.i2p, COUNT), 1, KeyframeSettings(buffer_size=COUNT), registrar
    )


def query_like(networks: Networks, buffer: KeyframeBuffer, position: int) -> EncodedFrame:
    """A frame that looks much like the keyframe at this position."""
    frame = buffer[position].local.frame
    generator = torch.Generator().manual_seed(position)
    tokens = frame.tokens + 0.3 * torch.randn(frame.tokens.shape, generator=generator)
    reference = networks.i2p.reference_activations(networks.i2p.decoder_tokens(tokens[None]))
    return replace(frame, tokens=tokens, reference_activations=reference[0])


def scored(retrieved: RetrievalResult) -> set[int]:
    return set(np.flatnonzero(np.isfinite(retrieved.scores)).tolist())


@pytest.mark.parametrize("shortlist", [0, COUNT, COUNT + 5])
def test_a_shortlist_as_large_as_the_buffer_is_the_full_search(
    golden_networks: Networks, buffer: KeyframeBuffer, shortlist: int
) -> None:
    query = query_like(golden_networks, buffer, 7)
    got = Retrieval(golden_networks.i2p, SCENE_FRAMES, shortlist).choose([query], buffer.candidates)
    assert got == Retrieval(golden_networks.i2p, SCENE_FRAMES).choose([query], buffer.candidates)
    assert scored(got) == set(range(COUNT))
    assert list(got.chosen) == np.argsort(-np.array(got.scores), kind="stable")[:SCENE_FRAMES].tolist()


def test_a_shortlist_holds_what_looks_alike_and_scores_it_nearly_as_the_full_search_does(
    golden_networks: Networks, buffer: KeyframeBuffer
) -> None:
    for position in (1, 17, 39):
        query = query_like(golden_networks, buffer, position)
        got = Retrieval(golden_networks.i2p, SCENE_FRAMES, SHORTLIST).choose([query], buffer.candidates)
        full = Retrieval(golden_networks.i2p, SCENE_FRAMES).choose([query], buffer.candidates)
        assert position in scored(got)
        assert len(scored(got)) == SHORTLIST
        both = sorted(scored(got))
        assert np.array(got.scores)[both] == pytest.approx(np.array(full.scores)[both], rel=0.05)  # see Retrieval
        assert set(got.chosen) <= scored(got)


def test_the_best_are_scored_again_and_none_is_forgotten(golden_networks: Networks, buffer: KeyframeBuffer) -> None:
    retrieval, seen, previous = Retrieval(golden_networks.i2p, SCENE_FRAMES, SHORTLIST), set[int](), None
    query = query_like(golden_networks, buffer, 20)
    for _ in range(int(COUNT / (SHORTLIST * TUNING.shortlist_oldest_share)) + 1):
        got = retrieval.choose([query], buffer.candidates)
        assert len(scored(got)) == SHORTLIST
        if previous is not None:
            assert set(previous.chosen) <= scored(got)
        seen |= scored(got)
        previous = got
    assert seen == set(range(COUNT))
    full = Retrieval(golden_networks.i2p, SCENE_FRAMES).choose([query], buffer.candidates)
    assert previous is not None and set(previous.chosen) == set(full.chosen)  # all seen: the best have been found


def test_a_keyframe_that_replaces_another_brings_its_own_score(golden_networks: Networks) -> None:
    keyframes = random_keyframes(golden_networks.i2p, 9)
    registrar = LocalToWorldStage(golden_networks.l2w, normalise_input=False)
    settings = KeyframeSettings(buffer_size=6, strategy="fifo", interval=1)
    buffer = KeyframeBuffer(keyframes[:6], 1, settings, registrar)
    for keyframe in keyframes[6:]:
        assert buffer.propose([keyframe], [True])
    fresh = KeyframeBuffer(keyframes[3:], 1, settings, registrar)
    query = keyframes[8].local.frame
    got, expected = (Retrieval(golden_networks.i2p, 2).choose([query], b.candidates) for b in (buffer, fresh))
    assert buffer.indices == fresh.indices and got.chosen == expected.chosen
    assert got.scores == pytest.approx(expected.scores, rel=1e-4)
    assert torch.equal(buffer.scene([0, 5]).embedding, fresh.scene([0, 5]).embedding)
