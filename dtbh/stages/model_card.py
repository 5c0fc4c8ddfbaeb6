"""The model card of a run: what it learned from, in which voices, how it was measured, and what was not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from dtbh.config import Config, read_config
from dtbh.data.leakage import leakage
from dtbh.data.manifest import SPLITS, Manifest
from dtbh.data.paraphrases import original
from dtbh.errors import DtbhError
from dtbh.evaluation.report import read_report
from dtbh.evaluation.results.values import RetrievalReport
from dtbh.models.run_files import CONFIG, read_run
from dtbh.utils.files import write_text

CARD = "card.md"


def write_card(run: Path, manifest: Manifest) -> Path:
    """Write ``card.md`` into a run folder, from what the folder and its data say; an older card is replaced.

    Args:
        run: The run folder; the reports are those in it or in the folders in it.
        manifest: Its data with the splits of its protocol.
    """
    config, said = read_config(run / CONFIG), read_run(run)
    reports = reports_of(run)
    lines = [
        f"# Model card: {run.resolve().name}",
        "",
        f"Codes of {config.encoders.bits} bits for {' and '.join(f'{m}s' for m in config.encoders.modalities)}, "
        f"trained with dtbh {said['dtbh']}. Written by dtbh; every settings value stands in `config.yaml`.",
        *_section("Data", _data(manifest, config)),
        *_section("Voices", _voices(manifest)),
        *_section("Training", training(config, said)),
        *_section("Figures", figures(reports)),
        *_section("Limits", [f"- {line}" for line in _limits(manifest, config, reports)]),
    ]
    return write_text(run / CARD, "\n".join(lines) + "\n")


def _section(title: str, lines: Iterable[str]) -> list[str]:
    return ["", f"## {title}", "", *lines]


def reports_of(run: Path) -> dict[str, RetrievalReport]:
    """The reports of a run or of an exported model by their folders, those that this version reads; its own first."""
    found = {}
    for file in sorted(run.glob("*/report.json")):  # "report" before "report-<name>"
        try:
            found[file.parent.name] = read_report(file)
        except DtbhError:
            continue
    return found


def _data(manifest: Manifest, config: Config) -> list[str]:
    """What there is on each side of the split."""
    lines = [
        f"Source: {manifest.source}, {len(manifest.labels)} classes. Split: `{config.data.protocol}`, seed "
        f"{config.data.seed}.",
        "",
        "| split | images | sounds | speakers | different sentences |",
        "|---|---|---|---|---|",
    ]
    for split in SPLITS:
        sounds = [item for item in manifest.sounds if item.split == split]
        images = sum(item.split == split for item in manifest.images)
        speakers, sentences = ({getattr(s, name) for s in sounds} - {None} for name in ("speaker", "transcript"))
        lines.append(f"| {split} | {images} | {len(sounds)} | {len(speakers)} | {len(sentences)} |")
    others = sum(item.split == "train" and original(item) is not None for item in manifest)
    if others:
        lines += ["", f"{others} of the training sounds are paraphrases: templates, and captions with words left out."]
    unused = sum(item.split is None for item in manifest)
    if unused:
        lines += ["", f"{unused} items are on no side, so that none leaks."]
    return [*lines, "", f"{leakage(manifest).describe()[:1].upper()}{leakage(manifest).describe()[1:]}."]


def _voices(manifest: Manifest) -> list[str]:
    """Who speaks in training, by engine."""
    speakers = {item.speaker for item in manifest.sounds if item.split == "train" and item.speaker}
    engines = Counter(name.partition("/")[0] if "/" in name else "recorded" for name in speakers)
    if not engines:
        return ["Speakers are not known."]
    named = ", ".join(f"{count} of {engine}" for engine, count in sorted(engines.items()))
    speech = manifest.settings.get("speech")
    made = f" Spoken by `dtbh speak` with {speech['engine']}, seed {speech['seed']}." if speech else ""
    return [f"Training hears {len(speakers)} speakers: {named}.{made}"]


def training(config: Config, said: Mapping[str, object]) -> list[str]:
    """Backbones, terms and the epoch that was taken."""
    lines = []
    image, sound = config.encoders.image, config.encoders.sound
    if image is not None:
        averaged = f", codes averaged over {image.tta_views} orientations" if image.tta_views > 1 else ""
        lines.append(
            f"- images: `{image.backbone}`, {'frozen' if image.frozen else 'trained'}, {image.size} px{averaged}"
        )
    if sound is not None:
        views = f", {sound.views} views of each clip" if sound.frozen and sound.views > 1 else ""
        speeds = f", codes averaged over {sound.tta_views} speeds" if sound.tta_views > 1 else ""
        lines.append(f"- sounds: `{sound.backbone}`, {'frozen' if sound.frozen else 'trained'}{views}{speeds}")
    terms = ", ".join(f"{name} {term.weight:g}" for name, term in config.learning.losses.items())
    lines.append(f"- objective: {terms}; seed {config.seed}")
    if "kept_epoch" in said:
        lines.append(
            f"- epoch {said['kept_epoch']} of {said['epochs']}, validation mAP {said['kept_val_map']:.4f}, "
            f"{said['seconds']:.0f} s; rule: {said['checkpoint_rule']}"
        )
    return lines


def figures(reports: Mapping[str, RetrievalReport]) -> list[str]:
    """One row a report and direction."""
    if not reports:
        return ["Not evaluated yet: `dtbh evaluate` fills this in."]
    lines = [
        "Class mAP, tie-aware, with its 95% interval over images, each with all its sounds; R@1 is of the true pair.",
        "",
        "| report | protocol | direction | queries / gallery | mAP | interval | chance | R@1 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, report in reports.items():
        for way, one in report.directions.items():
            interval = "" if one.interval is None else f"{one.interval[0]:.3f} to {one.interval[1]:.3f}"
            pair = "" if one.pairs is None else f"{one.pairs.hit_at[min(one.pairs.hit_at)]:.3f}"
            lines.append(
                f"| {name} | {report.protocol} | {way} | {one.n_queries} / {one.n_gallery} | {one.map:.4f} | "
                f"{interval} | {one.chance_map:.3f} | {pair} |"
            )
    return lines


def _limits(manifest: Manifest, config: Config, reports: dict[str, RetrievalReport]) -> list[str]:
    """What the figures don't say."""
    limits = ["One training seed stands behind these figures; runs of other seeds are other folders."]
    if manifest.settings.get("speech"):
        limits.append("Every voice is synthetic: figures on recorded people may be lower, and were not measured.")
    leaks = leakage(manifest)
    if leaks.test_captions_in_train:
        limits.append(f"{leaks.test_captions_in_train} of {leaks.test_sounds} test sounds say what training says.")
    if leaks.test_speakers_in_train and not any("voices of" in report.protocol for report in reports.values()):
        limits.append(
            "Test speakers speak in training too; measure others with: dtbh evaluate RUN --voices OTHER_DATA."
        )
    if not any("noise" in report.protocol for report in reports.values()):
        limits.append("Noise was not measured; dtbh evaluate RUN --noise-db 10 does.")
    if config.encoders.image is not None:
        limits.append("Images of other sensors, resolutions or countries than the data's were not measured.")
    limits.append("Sentences are English; classes outside the data have no place of their own in the codes.")
    return limits
