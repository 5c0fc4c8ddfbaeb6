"""The README of a model that is shared: what a hub reads at its head, how it is used, licences, figures, data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from dtbh.config import Config
from dtbh.data.joining import JOINED
from dtbh.evaluation.results.values import RetrievalReport
from dtbh.models.licences import UNKNOWN, parts
from dtbh.stages.model_card import CARD, figures, training

TAGS = ["cross-modal-retrieval", "hashing", "hamming-search", "remote-sensing", "speech", "onnx"]


def hub_card(
    name: str, config: Config, said: Mapping[str, Any], reports: Mapping[str, RetrievalReport], *, licence: str,
    folder: Path,
) -> str:  # fmt: skip
    """The text of ``README.md``.

    Args:
        name: Of the model.
        config: Its settings.
        said: What ``run.json`` says.
        reports: Of this very model, by their names; the first is the one that the head has the figures of.
        licence: Of the model, as a hub names it.
        folder: The run or the exported model, whose ``card.md``, if it has one, says what it learned from.
    """
    towers = " and ".join(f"{modality}s" for modality in config.encoders.modalities)
    table = [
        f"| {part.role} | {part.name} | {part.licence} |" for part in parts(config, str(said.get("source", UNKNOWN)))
    ]
    sections = {
        "Use": [
            "    import dtbh",
            "",
            '    model = dtbh.load("hf://OWNER/NAME")     # from a hub; or this folder, or its https:// address',
            '    archive = dtbh.open_archive("archives/mine")',
            '    hits = archive.search(model.encode_sounds(["query.wav"]), k=10)',
            "",
            "from the shell `dtbh index hf://OWNER/NAME TILES --out archives/mine`. Neither needs torch. "
            "`sha256sum --check SHA256SUMS` compares all files with their checksums.",
        ],
        "Licences": [
            f"This model: {licence}. Parts, as far as their makers say:", "", "| part | what | licence |",
            "|---|---|---|", *table,
        ],
        "Figures": figures(reports),
        "Training": training(config, said),
        **_told(folder),
    }  # fmt: skip
    head = yaml.safe_dump(_head(name, said, reports, licence), sort_keys=False, allow_unicode=True)
    lines = [f"# {name}", "", f"Codes of {config.encoders.bits} bits for {towers}, trained with dtbh {said['dtbh']}."]
    for title, text in sections.items():
        lines += ["", f"## {title}", "", *text]
    return f"---\n{head}---\n\n" + "\n".join(lines) + "\n"


def _told(folder: Path) -> dict[str, list[str]]:
    """The sections of a run's card but for the figures, which may be of another encoder."""
    card = folder / CARD
    if not card.is_file():
        return {}
    sections = {}
    for part in card.read_text(encoding="utf-8").split("\n## ")[1:]:
        title, _, text = part.partition("\n")
        if title != "Figures":
            sections[title] = text.strip().splitlines()
    return sections


def _head(name: str, said: Mapping[str, Any], reports: Mapping[str, RetrievalReport], licence: str) -> dict[str, Any]:
    """What stands between the dashes."""
    source = str(said.get("source", UNKNOWN))
    head: dict[str, Any] = {"license": licence, "library_name": "dtbh", "pipeline_tag": "feature-extraction",
                            "tags": TAGS, "datasets": source.split(JOINED)}  # fmt: skip
    for report in list(reports.values())[:1]:
        results = []
        for way, one in report.directions.items():
            between = "" if one.interval is None else f"95% interval {one.interval[0]:.4f} to {one.interval[1]:.4f}, "
            results.append({
                "task": {"type": "feature-extraction", "name": f"{way} retrieval"},
                "dataset": {"type": source, "name": source, "split": one.gallery,
                            "args": {"protocol": report.protocol}},
                "metrics": [{"type": "mAP", "value": round(one.map, 4),
                             "name": f"mAP, tie-aware ({between}chance {one.chance_map:.4f})"}],
            })  # fmt: skip
        head |= {"metrics": ["mAP"], "model-index": [{"name": name, "results": results}]}
    return head
