"""Image files to pixels of one size, without torch."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from dtbh.errors import MediaError
from dtbh.media import raster
from dtbh.media.deep_grey import eight_bits, no_data, row_blocks
from dtbh.media.files import check_media
from dtbh.media.raster import Tile

if TYPE_CHECKING:
    from PIL import Image


Pixels = npt.NDArray[np.uint8]


def load_pixels(path: Path | str | Tile, size: int) -> Pixels:
    """Read an image file, or a tile of a scene, as RGB of ``size`` x ``size`` pixels.

    Turned upright where EXIF says how; transparent pixels stand over black; 16-bit grey is scaled to 8 bits, and where
    that leaves hardly a shade, as of heights or heat, stretched to its own range.
    The shorter side is brought to ``size`` by antialiased bicubic interpolation, keeping the aspect, and
    the middle of the longer side is kept (aerial tiles are square and lose nothing). A JPEG that is much larger is
    decoded at a half, a quarter or an eighth of its size, where that is a whole one of twice ``size`` at least; so is a
    tile read from an overview of its scene.

    Args:
        path: Any file Pillow reads: JPEG, PNG, TIFF, WebP, BMP and others. Of several pages, the first. Or a tile,
            which may be of any file rasterio reads.
        size: Of the result, in pixels, at least 1.

    Returns:
        uint8 [3, size, size], channels red, green, blue.

    Raises:
        MediaError: The file is missing, empty, cut short, no image or too large to be one.
        MissingExtraError: A tile, and rasterio is not installed.
    """
    if isinstance(path, Tile):
        return _resized(raster.picture(path, least=2 * size), size)
    path = Path(path)
    _check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # oddities in metadata are no reason to refuse a picture
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                _reduced(image, 2 * size)
                image.load()
                missing = no_data(image)
                ImageOps.exif_transpose(image, in_place=True)
                picture = _to_rgb(image, missing)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise MediaError(
            f"{path}: over {Image.MAX_IMAGE_PIXELS} pixels, at most so many wanted; cut it into tiles{_as_scene(path)}"
        ) from None
    except UnidentifiedImageError:
        raise MediaError(f"{path}: not an image that can be read; convert it to PNG or JPEG{_as_scene(path)}") from None
    except Exception as error:  # of damaged files Pillow's decoders raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise MediaError(f"{path}: a damaged or cut short image ({reason}); copy it again or leave it out") from None
    if 0 in picture.size:
        raise MediaError(f"{path}: {picture.width} x {picture.height} pixels, at least 1 x 1 wanted; leave it out")
    return _resized(picture, size)


def _as_scene(path: Path) -> str:
    """What else can be done with a file that may be a scene."""
    return ", or give --tile 256 (extra geo)" if path.suffix.lower() in (".tif", ".tiff") else ""


def _check_file(path: Path) -> None:
    """Refuse what is no file or has nothing in it."""
    check_media(path, "an image")
    if not path.is_file():
        raise MediaError(f"{path}: no such file; check the path, or run dtbh prepare again")
    if path.stat().st_size == 0:
        raise MediaError(f"{path}: an empty file (0 bytes), an image wanted; copy it again or leave it out")


def _reduced(image: Image.Image, least: int) -> None:
    """Have a JPEG decoded at a part of its size that leaves so many pixels a side, and no part of one."""
    for part in (8, 4, 2):
        if all(side % part == 0 and side // part >= least for side in image.size):
            image.draft(None, (image.width // part, image.height // part))  # other kinds of files stay as they are
            return


def _to_rgb(image: Image.Image, missing: tuple[float, ...]) -> Image.Image:
    """Eight-bit RGB, or grey, from any mode."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        image = Image.fromarray(eight_bits(image, missing))
    if image.has_transparency_data:
        return _over_black(image)
    return image if image.mode in ("RGB", "L") else image.convert("RGB")


def _over_black(image: Image.Image) -> Image.Image:
    """RGB of what stands on black, block by block: three copies of a large image would take a gigabyte and more."""
    picture = Image.new("RGB", image.size)
    for top, block in row_blocks(image):
        black = Image.new("RGBA", block.size, (0, 0, 0, 255))
        picture.paste(Image.alpha_composite(black, block.convert("RGBA")).convert("RGB"), (0, top))
    return picture


def _resized(picture: Image.Image, size: int) -> Pixels:
    """The middle square of the picture at ``size`` x ``size``, in one interpolation."""
    side = min(picture.size)
    left, top = (picture.width - side) / 2, (picture.height - side) / 2
    if picture.size != (size, size):
        box = (left, top, left + side, top + side)
        picture = picture.resize((size, size), Image.Resampling.BICUBIC, box=box)
    return np.ascontiguousarray(np.asarray(picture.convert("RGB")).transpose(2, 0, 1))  # of grey: alike, and smaller


THUMBNAIL = 160  # pixels, longer side


def thumbnail(image: Image.Image, size: int = THUMBNAIL) -> Image.Image:
    """The picture upright, small and in eight bits a channel; deeper ones are stretched to their range."""
    from PIL import Image, ImageOps

    image.draft("RGB", (2 * size, 2 * size))
    small = ImageOps.exif_transpose(image)
    small.thumbnail((size, size))
    if small.mode[0] in "IF":
        values = np.nan_to_num(np.asarray(small, np.float64), posinf=0.0, neginf=0.0)
        span = values.max() - values.min() or 1.0
        small = Image.fromarray((255 * (values - values.min()) / span).astype(np.uint8))
    return small.convert("RGB")
