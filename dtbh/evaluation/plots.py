"""mAP against bits as a picture for a paper: one panel a direction, one line a method, the spread as bars.

Needs the extra ``plots``.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dtbh.errors import MissingExtraError
from dtbh.evaluation.results.tables import CHANCE, Table
from dtbh.utils.files import write_file

COLOURS = ("#0a4c8c", "#b94700", "#0c8171", "#b52bb5", "#7a28e0", "#54380a")
"""Those of the report page, told apart by any eye."""

MARKS, DASHES = "osD^vPX", ("-", "--", ":", "-.")


def draw(table: Table, paths: Sequence[Path]) -> list[Path]:
    """Draw mAP against bits into files, whose suffixes say how: ``.png`` (200 dpi), ``.svg`` or ``.pdf``.

    The same table gives the same bytes. A dotted line is the chance level.

    Returns:
        The paths.

    Raises:
        MissingExtraError: No matplotlib.
        DtbhError: A file can't be written.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MissingExtraError("matplotlib", "plots", "drawing mAP against bits") from None
    style: Any = {"svg.hashsalt": "dtbh", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False,
             "axes.spines.right": False, "axes.titleweight": "bold"}  # fmt: skip
    with mpl.rc_context(style):
        rows = -(-len(table.directions) // 2)
        columns = min(2, len(table.directions))
        figure = Figure(figsize=(3.5 * columns, 2.9 * rows + 0.2 * len(table.methods) / columns), layout="constrained")
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        for panel in panels[len(table.directions) :]:
            panel.set_visible(False)
        for way, panel in zip(table.directions, panels, strict=False):
            _fill(panel, table, way)
        for panel in panels[::columns]:
            panel.set_ylabel("mAP")
        panels[0].set_ylim(0, None)  # of all panels: only now are all figures known
        found = {
            label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
        }
        shown = {label: found[label] for label in (*table.methods, CHANCE) if label in found}
        figure.legend(shown.values(), shown, loc="outside lower center", ncols=2 * columns, frameon=False)
        return [_save(figure, path) for path in paths]


def _fill(panel: Any, table: Table, way: str) -> None:
    """One direction: the methods, and chance."""
    known = [method for method in table.methods if any(method == m for m, _, _ in table.cells)]
    for method, cells in table.rows(way).items():
        if method not in known:
            continue
        number = known.index(method)  # the same look in every panel
        there = [(bits, cell) for bits, cell in zip(table.bits, cells, strict=True) if cell is not None]
        panel.errorbar(
            [bits for bits, _ in there], [cell.mean for _, cell in there], [cell.spread or 0.0 for _, cell in there],
            label=method, color=COLOURS[number % 6], marker=MARKS[number % 7], linestyle=DASHES[number // 6 % 4],
            capsize=2, markersize=4, linewidth=1.4,
        )  # fmt: skip
    chances = [(bits, chance) for bits, chance in zip(table.bits, table.chance(way), strict=True) if chance is not None]
    panel.plot(*zip(*chances, strict=True), color="#868f98", linestyle=(0, (1, 2)), label=CHANCE)
    panel.set_xscale("log", base=2)
    panel.set_xticks(table.bits, labels=[str(bits) for bits in table.bits])
    panel.minorticks_off()
    panel.set(title=way.replace("->", " → "), xlabel="bits of a code")
    panel.grid(axis="y", color="#e9ecec")
    panel.set_axisbelow(True)


def _save(figure: Any, path: Path) -> Path:
    kind = path.suffix[1:]
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    picture = io.BytesIO()
    figure.savefig(picture, format=kind, dpi=200, metadata=metadata)
    return write_file(path, lambda file: file.write(picture.getvalue()))
