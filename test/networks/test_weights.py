import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from slam3r_ros.networks.errors import WeightsError
from slam3r_ros.networks.hub import find_weights, resolve_name
from slam3r_ros.networks.image_to_points import ImageToPoints
from slam3r_ros.networks.local_to_world import LocalToWorld
from slam3r_ros.networks.published_names import from_published, to_published
from slam3r_ros.networks.recommended_settings import recommended_settings
from slam3r_ros.networks.weights import Networks, load_network, load_networks, save_network
from slam3r_ros.settings import SlamSettings


@pytest.fixture
def weights(tmp_path: Path, golden: Path) -> Path:
    """A directory of weights that a test may spoil."""
    for network in ("i2p", "l2w"):
        (tmp_path / network).mkdir()
        shutil.copy(golden / "networks" / f"{network}_config.json", tmp_path / network / "config.json")
        shutil.copy(golden / "networks" / f"{network}.safetensors", tmp_path / network / "model.safetensors")
    return tmp_path


def test_saved_networks_load_again(weights: Path, golden_networks: Networks, tmp_path: Path) -> None:
    save_network(golden_networks.l2w, tmp_path / "again" / "l2w")
    again = load_network(LocalToWorld, tmp_path / "again", "l2w")
    original = golden_networks.l2w.state_dict()
    assert all(torch.equal(original[name], tensor) for name, tensor in again.state_dict().items())


def test_half_precision_storage_loads_as_float32(golden_networks: Networks, tmp_path: Path) -> None:
    save_network(golden_networks.i2p, tmp_path / "i2p", torch.float16)
    again = load_network(ImageToPoints, tmp_path, "i2p")
    assert again.dtype == torch.float32
    torch.testing.assert_close(again.encoder_norm.weight, golden_networks.i2p.encoder_norm.weight, rtol=1e-3, atol=1e-3)


def test_names_are_mapped_both_ways(golden_networks: Networks) -> None:
    for network in (golden_networks.i2p, golden_networks.l2w):
        for name in network.state_dict():
            assert from_published(to_published(name)) == name
    assert to_published("reference_blocks.3.cross_attention.query.weight") == "mv_dec_blocks1.3.cross_attn.projq.weight"
    assert to_published("point_embedding.bias") == "ponit_embedder.bias"


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_heads_stay_in_float32(weights: Path, precision: str) -> None:
    networks = load_networks(str(weights), device="cpu", precision=precision)
    assert networks.i2p.dtype == getattr(torch, precision)
    exact = load_networks(str(weights), device="cpu", precision="float32")
    assert networks.i2p.reference_head.proj.weight.dtype == torch.float32
    assert torch.equal(networks.i2p.reference_head.proj.weight, exact.i2p.reference_head.proj.weight)
    assert torch.equal(networks.l2w.point_embedding.weight, exact.l2w.point_embedding.weight)
    assert networks.l2w.void_token.dtype == getattr(torch, precision)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        result = networks.i2p(networks.i2p.encode(images)[None])
    assert result.points.dtype == torch.float32
    assert torch.isfinite(result.points).all()


def test_reduced_precision_is_close_to_float32(weights: Path) -> None:
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        full, reduced = (
            network(network.encode(images)[None]).points
            for network in (load_networks(str(weights), device="cpu", precision=p).i2p for p in ("float32", "bfloat16"))
        )
    assert (full - reduced).norm() / full.norm() < 0.05


def test_recommended_settings_are_read(weights: Path) -> None:
    assert load_networks(str(weights), device="cpu").recommended == SlamSettings.of_published_weights()
    (weights / "settings.yaml").write_text("map:\n  point_confidence: 3\n")
    assert load_networks(str(weights), device="cpu").recommended.map.point_confidence == 3.0
    (weights / "settings.yaml").write_text("pose: {tracks: on}\nwindow.stride: 4\n")
    recommended = load_networks(str(weights), device="cpu").recommended
    assert (recommended.pose.tracks, recommended.window.stride) == ("on", 4)
    (weights / "settings.yaml").write_text("map_threshold: 3\n")
    with pytest.raises(WeightsError, match="settings.yaml.*map.point_confidence.*map_threshold"):
        load_networks(str(weights), device="cpu")


def test_settings_by_their_former_names_are_read(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(
        "point_confidence: 1.1\nshrink_below: 1.3\ninitialize_confidence: 1.15\ntracking_confidence: 1.2\n"
        "map_confidence: 1.4\ninlier_threshold: 0.05\nstride: 3\nradius: 1\nscene_frames: 2\nretrieval_interval: 6\n"
        "buffer_size: 12\nkeyframe_interval: 4\ntracks: true\n"
    )
    assert recommended_settings(tmp_path) == SlamSettings().with_values(
        {
            "register.point_confidence": 1.1,
            "initialize.shrink_below": 1.3,
            "initialize.minimum_confidence": 1.15,
            "pose.minimum_confidence": 1.2,
            "map.point_confidence": 1.4,
            "pose.inlier_threshold": 0.05,
            "window.stride": 3,
            "window.radius": 1,
            "register.scene_frames": 2,
            "register.retrieval_interval": 6,
            "keyframes.buffer_size": 12,
            "keyframes.interval": 4,
            "pose.tracks": "on",
        }
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("stride: many", "window.stride: expected int, got 'many'"),
        ("window: {stride: 2.9}", "window.stride: expected int, got 2.9"),
        ("stride: true", "window.stride: expected int, got True"),
        ('tracks: "false"', "pose.tracks: expected one of auto, on, off, got 'false'"),
        ("map_confidence: [3]", r"map.point_confidence: expected float, got \[3\]"),
        ("window: {stride: 0}", "window.stride: expected what these weights recommend, got 0"),
        ("pose: {tracks: auto}", "pose.tracks: expected what these weights recommend, got 'auto'"),
        ("pose: {minimum_inliers: 0.2}", "expected a mapping with some of window.stride"),
        ("stride: [1", "while parsing a flow sequence"),
    ],
)
def test_settings_that_cannot_be_read_are_named(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "settings.yaml").write_text(text)
    with pytest.raises(WeightsError, match=f"settings.yaml: {reason}"):
        recommended_settings(tmp_path)


def test_embedded_weights_load() -> None:
    networks = load_networks("embedded", device="cpu")
    assert networks.name == "embedded" and networks.recommended.pose.tracks == "on"
    assert networks.i2p.config.patch_size == networks.l2w.config.patch_size == 16
    assert networks.i2p.config.image_size == networks.l2w.config.image_size


def test_weights_that_are_nowhere() -> None:
    with pytest.raises(WeightsError, match="'/no/such/place' are neither 'auto', nor 'embedded', nor an existing"):
        load_networks("/no/such/place")


def hub_without_internet(monkeypatch: pytest.MonkeyPatch, home: Path) -> Path:
    """The hub's client keeps its files in ``home`` and cannot reach the hub; returns where its cache is."""
    for name, value in (("HF_HOME", str(home)), ("HF_HUB_CACHE", str(home / "hub")), ("HF_HUB_OFFLINE", True)):
        monkeypatch.setattr(constants, name, value)
    return home / "hub"


def put_into_cache(cache: Path, network: Path) -> None:
    """As another program that takes the published network from the hub leaves it."""
    repository = cache / f"models--siyan824--slam3r_{network.name}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0123")
    shutil.copytree(network, repository / "snapshots" / "0123")


def test_auto_means_embedded_unless_both_published_networks_are_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, weights: Path
) -> None:
    cache = hub_without_internet(monkeypatch, tmp_path / "home")
    assert resolve_name("auto") == "embedded"
    assert load_networks("auto", device="cpu").name == "embedded"
    put_into_cache(cache, weights / "i2p")
    assert resolve_name("auto") == "embedded"
    put_into_cache(cache, weights / "l2w")
    assert resolve_name("auto") == "siyan824/slam3r"
    assert resolve_name("embedded") == "embedded"
    networks = load_networks("auto", device="cpu")
    assert networks.name == "siyan824/slam3r"
    assert networks.recommended == SlamSettings.of_published_weights()
    cached = (tmp_path / "home" / "slam3r_ros" / "siyan824--slam3r" / "l2w").resolve()
    assert cached == (cache / "models--siyan824--slam3r_l2w" / "snapshots" / "0123").resolve()  # not a second copy


def test_published_networks_that_this_package_has_downloaded_are_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, weights: Path
) -> None:
    hub_without_internet(monkeypatch, tmp_path / "home")
    own = tmp_path / "home" / "slam3r_ros" / "siyan824--slam3r"
    shutil.copytree(weights / "i2p", own / "i2p")
    shutil.copytree(weights / "l2w", own / "l2w")
    assert find_weights("auto") == own
    (own / "l2w" / "model.safetensors").unlink()  # as a download that broke off
    assert resolve_name("auto") == "embedded"


def test_a_hub_that_cannot_be_reached_tells_how_to_download_by_hand(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub_without_internet(monkeypatch, tmp_path)
    with pytest.raises(WeightsError, match="slam3r_i2p' could not be downloaded.*download config.json.*weights:=DIR"):
        load_networks("siyan824/slam3r")


def test_a_directory_without_weights_lists_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no i2p network.*i2p/model.safetensors.*slam3r_i2p/model.safetensors"):
        load_networks(str(tmp_path))


def test_truncated_weights(weights: Path) -> None:
    path = weights / "i2p" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match=f"{path} is truncated"):
        load_networks(str(weights))


def test_weights_of_another_architecture(weights: Path) -> None:
    shutil.copy(weights / "l2w" / "model.safetensors", weights / "i2p" / "model.safetensors")
    with pytest.raises(
        WeightsError, match="does not fit.*30 missing .first: corr_score_proj.*3 unknown .first: ponit_embedder"
    ):
        load_networks(str(weights))


def test_weights_of_another_size(weights: Path) -> None:
    config = weights / "i2p" / "config.json"
    config.write_text(config.read_text().replace('"dec_embed_dim": 48', '"dec_embed_dim": 96'))
    with pytest.raises(WeightsError, match="of another shape.*expected"):
        load_networks(str(weights))


def test_networks_that_do_not_belong_together(weights: Path) -> None:
    config = weights / "l2w" / "config.json"
    config.write_text(config.read_text().replace("64,\n  64", "128,\n  128"))
    with pytest.raises(WeightsError, match=r"do not belong together: image_size is \(64, 64\) and \(128, 128\)"):
        load_networks(str(weights))


@pytest.mark.parametrize(("option", "value"), [("device", "abacus"), ("device", "cuda:99"), ("precision", "int4")])
def test_options_that_cannot_be_had(weights: Path, option: str, value: str) -> None:
    with pytest.raises(WeightsError, match=f"{option} '{value}'"):
        load_networks(str(weights), **{option: value})


def test_a_network_that_was_prepared_for_inference_can_still_be_changed(weights: Path) -> None:
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1

    def answer(network: ImageToPoints) -> torch.Tensor:
        with torch.inference_mode():
            return network.source_activations(network.decoder_tokens(network.encode(images))).keys

    changed, expected = (load_networks(str(weights), device="cpu", precision=p).i2p for p in ("float32", "bfloat16"))
    state = {name: tensor.clone() for name, tensor in changed.state_dict().items()}
    exact = answer(changed)
    changed.use_precision(torch.bfloat16)
    assert torch.equal(answer(changed), answer(expected))
    assert answer(changed.to(torch.float64)).dtype is torch.float64
    changed.to(torch.float32).load_state_dict({name: 2 * tensor for name, tensor in state.items()}, assign=True)
    changed.prepare_for_inference()
    changed.load_state_dict(state, assign=True)
    changed.make_rotary()
    assert torch.allclose(answer(changed), exact, rtol=1e-5, atol=1e-6)
