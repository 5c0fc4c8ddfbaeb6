"""Reading the rows of a batch: media files as tensors, or the stored outputs of a frozen backbone.

A reader gives one row at a time, augmented where it is given a generator, and puts rows together as what a tower takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from dtbh.config import ImageTower, SoundTower, TextTower
from dtbh.errors import DtbhError
from dtbh.features.augment import augment_image, augment_sound
from dtbh.features.image import load_image
from dtbh.features.sound import pad_batch
from dtbh.media.raster import Tile
from dtbh.media.sound import Passage, load_sound
from dtbh.media.text_rows import text_row

Row = Tensor | list[Tensor]
"""What stands for one item: a tensor, or a sequence for each of its views."""


class Reader(Protocol):
    """What reads the rows of one modality."""

    def __len__(self) -> int: ...

    def __call__(self, row: int, generator: torch.Generator | None = None) -> Row:
        """One row, augmented where a generator is given."""
        ...

    def collate(self, rows: Sequence[Any]) -> tuple[Tensor, ...]:
        """Rows as the arguments of a tower."""
        ...


class ImageReader:
    """Images from files: uint8 [3, size, size] a row."""

    def __init__(self, paths: Sequence[Path | Tile], settings: ImageTower) -> None:
        self.paths, self.settings = paths, settings

    def __len__(self) -> int:
        return len(self.paths)

    def __call__(self, row: int, generator: torch.Generator | None = None) -> Tensor:
        """One image; raises MediaError."""
        image = load_image(self.paths[row], self.settings.size)
        return image if generator is None else augment_image(image, generator, settings=self.settings.augmentation)

    def collate(self, rows: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """A single tensor, uint8 [n, 3, size, size]."""
        return (torch.stack(list(rows)),)


class SoundReader:
    """Sounds from files, or passages of them: float [samples] a row."""

    def __init__(self, paths: Sequence[Path | Passage], settings: SoundTower) -> None:
        self.paths, self.settings = paths, settings

    def __len__(self) -> int:
        return len(self.paths)

    def __call__(self, row: int, generator: torch.Generator | None = None) -> Tensor:
        """One sound; raises MediaError."""
        s = self.settings
        rate = s.features.sample_rate
        wave = torch.from_numpy(load_sound(self.paths[row], sample_rate=rate, max_seconds=s.max_seconds))
        return wave if generator is None else augment_sound(wave, generator, settings=s.augmentation, sample_rate=rate)

    def collate(self, rows: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Waveforms float [n, samples], zero beyond each length, and lengths int64 [n].

        The longest is padded to a whole number of half seconds: few different shapes keep the memory that
        convolutions set aside for each of them small.
        """
        step = self.settings.features.sample_rate // 2
        waveforms, lengths = pad_batch(rows)
        return F.pad(waveforms, (0, -waveforms.shape[1] % step)), lengths


class TextReader:
    """Texts: token numbers int64 [t] a row, or vectors float [384] where the backbone's library gives those."""

    def __init__(self, texts: Sequence[str], settings: TextTower) -> None:
        self.texts, self.backbone = texts, settings.backbone

    def __len__(self) -> int:
        return len(self.texts)

    def __call__(self, row: int, generator: torch.Generator | None = None) -> Tensor:
        """One text; raises MediaError where it says nothing."""
        return torch.from_numpy(text_row(self.texts[row], self.backbone))

    def collate(self, rows: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Token numbers int64 [n, t], zero beyond each text's own, or vectors; and each row's length, int64 [n]."""
        return pad_sequence(list(rows), batch_first=True), torch.tensor([len(row) for row in rows])


class StoredReader:
    """Stored outputs of a frozen backbone, some views of each item; a generator chooses among them.

    Args:
        outputs: float [n, views, d], one vector a view; or n times views arrays float [t, d], one sequence a view,
            each of which is taken when it is wanted.
        together: Give all views of an item at once where no generator chooses: float [views, d], or a list of
            sequences.
    """

    def __init__(self, outputs: Tensor | Sequence[Sequence[NDArray[Any]]], *, together: bool = False) -> None:
        self.outputs, self.together = outputs, together

    def __len__(self) -> int:
        return len(self.outputs)

    def __call__(self, row: int, generator: torch.Generator | None = None) -> Row:
        """One view's output, float [d] or [t, d]: the first without a generator, or all together."""
        views = self.outputs[row]
        if generator is None and self.together:
            return views if isinstance(views, Tensor) else [torch.as_tensor(view).float() for view in views]
        view = 0 if generator is None else int(torch.randint(len(views), (), generator=generator))
        return torch.as_tensor(views[view]).float()

    def collate(self, rows: Sequence[Any]) -> tuple[Tensor, ...]:
        """Vectors as one tensor; sequences as float [n, t, d], zero beyond each, and int64 [n].

        Several views of each item: float [n, views, d]; or float [n, views, t, d] and int64 [n, views].
        """
        if isinstance(self.outputs, Tensor):
            return (torch.stack(list(rows)),)
        views = [view for row in rows for view in (row if isinstance(row, list) else [row])]
        frames, counts = pad_sequence(views, batch_first=True), torch.tensor([len(view) for view in views])
        if not isinstance(rows[0], list):
            return frames, counts
        several = (len(rows), len(rows[0]))
        return frames.reshape(*several, *frames.shape[1:]), counts.reshape(several)


class Rows(Dataset[Any]):
    """A reader as a data set whose rows may be errors, so that a worker process can hand them on."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, row: int) -> Row | DtbhError:
        """One row, or why it can't be read."""
        try:
            return self.reader(row)
        except DtbhError as error:
            return error

    def collate(self, rows: Sequence[Any]) -> Any:
        """The arguments of a tower, or the first error among the rows."""
        errors = [row for row in rows if isinstance(row, DtbhError)]
        return errors[0] if errors else self.reader.collate(rows)
