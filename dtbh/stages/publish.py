"""A model to a folder that others can use as it stands: on a hub, behind any web server, or as an archive."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from dtbh.config import Config, read_config, write_config
from dtbh.errors import CodesError, ConfigError, RunError
from dtbh.evaluation.report import NAME as REPORT
from dtbh.models.encoder import EXPORTED
from dtbh.models.fetch import located
from dtbh.models.licences import UNKNOWN
from dtbh.models.onnx_encoder import OnnxEncoder, open_exported
from dtbh.models.run_files import CONFIDENCE, CONFIG, RUN, data_folders, read_run
from dtbh.models.shared_files import SUMS, digest, parse_sums, towers_of, write_sums
from dtbh.stages.export import export
from dtbh.stages.hub_card import hub_card
from dtbh.stages.model_card import reports_of
from dtbh.utils.files import atomic_folder, check_place, write_text

README, REQUIREMENTS = "README.md", "requirements.txt"


def publish(
    model: str | Path, out: str | Path, *, licence: str = UNKNOWN, data: str | Path | None = None
) -> OnnxEncoder:
    """Write a model as the folder that a hub expects; whole, or nothing.

    In it are the exported model, its settings, ``README.md`` as its card, ``report.json`` where this very model was
    evaluated, and ``SHA256SUMS`` of all. No path of this machine goes with it.

    Args:
        model: An exported model; or a run, which is exported first, with torch.
        out: The folder; an older published model there, to which nothing was added, is replaced.
        licence: Of the model, as hubs name it: ``apache-2.0``, ``cc-by-4.0``.
        data: Of a run: the prepared data folder to test the export on; None: its own.

    Raises:
        CodesError: Something else stands in the place.
        ConfigError: A licence that is no name.
        RunError: No such model, a damaged one, one that was published already, or a run that can't be exported.
    """
    model, out = located(model), Path(out)
    if not licence.replace("-", "").replace(".", "").isalnum():
        raise ConfigError(f"--license {licence}: wanted its name on a hub, as in apache-2.0 or cc-by-4.0")
    if (model / SUMS).is_file():
        raise RunError(f"{model}: was published already; copy the folder, or give the model that it was made from")
    _check_place(out)
    if (model / EXPORTED).is_file():
        return _publish(model, model, out, licence)
    read_run(model)
    with TemporaryDirectory(prefix="dtbh-") as folder:
        exported = export(model, out=Path(folder) / "model", data=data).path
        return _publish(exported, model, out, licence)


def _publish(exported: Path, model: Path, out: Path, licence: str) -> OnnxEncoder:
    """The folder of an exported model, with the reports and the card of what it was made from."""
    towers = towers_of(exported / EXPORTED, str(exported))
    for name, sum in towers.items():
        if not (exported / name).is_file() or digest(exported / name) != sum:
            raise RunError(f"{exported / name}: not there, cut or altered; export the run again with dtbh export")
    said, config = read_run(exported), _without_paths(read_config(exported / CONFIG))
    fingerprint = open_exported(exported).fingerprint
    reports = {name: report for name, report in reports_of(model).items() if report.encoder == fingerprint}
    with atomic_folder(out) as new:
        for name in (EXPORTED, *towers, CONFIDENCE, REQUIREMENTS):
            if (exported / name).is_file():
                shutil.copyfile(exported / name, new / name)
        write_config(config, new / CONFIG)
        folders = [folder.resolve().name or "data" for folder in data_folders(exported)]
        run = {**said, "data": folders if len(folders) > 1 else folders[0]}
        write_text(new / RUN, json.dumps(run, indent=2) + "\n")
        if reports:
            entry = next(iter(reports.values())).to_dict()
            write_text(new / REPORT, json.dumps(entry, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        card = hub_card(out.resolve().name, config, said, reports, licence=licence, folder=model)
        write_text(new / README, card)
        write_sums(new, [path.name for path in new.iterdir()])
    return open_exported(out)


def _check_place(out: Path) -> None:
    """Refuse a place where anything stands but what an earlier call wrote."""
    check_place(out, SUMS, "published model")
    if (out / SUMS).is_file():
        own = {SUMS, *parse_sums((out / SUMS).read_bytes(), str(out))}
        if others := sorted(path.name for path in out.iterdir() if path.name not in own):
            raise CodesError(
                f"{out}: holds {', '.join(others[:3])} beside a published model; choose another place, and copy its "
                "files from there"
            )


def _without_paths(config: Config) -> Config:
    """The settings, files of weights by their names alone."""
    towers = {}
    for kind in ("image", "sound"):
        tower = getattr(config.encoders, kind)
        if tower is not None and "/" in tower.weights:
            towers[kind] = tower.model_copy(update={"weights": Path(tower.weights).name})
    return config.model_copy(update={"encoders": config.encoders.model_copy(update=towers)})
