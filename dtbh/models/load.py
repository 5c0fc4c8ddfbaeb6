"""Opens a model, whether it is a run folder, with torch, or an exported model, without; or the one that is ready."""

from __future__ import annotations

from pathlib import Path

from dtbh.errors import MissingExtraError
from dtbh.models.encoder import EXPORTED, Encoder
from dtbh.models.run_files import READY, is_address, place_of, read_run


def load(path: str | Path = READY) -> Encoder:
    """Open a run folder, with torch, or an exported model, with neither torch nor Lightning.

    Args:
        path: Its folder, or ``"ready"`` (where no such folder is): the model that comes with the package, trained on
            UCM and RSICD, which understands any words. Or where it is fetched from, once: ``https://host/folder``, a
            ``.zip`` or ``.tar.gz`` of it, or ``hf://owner/name[@revision]``.

    Raises:
        RunError: Nothing of the kind here, no weights yet, or damaged files.
        DtbhError: An address from which nothing can be fetched.
        MissingExtraError: A run folder without the extra ``train``.
    """
    if is_address(path):
        from dtbh.models.fetch import fetch

        path = fetch(str(path))
    path = place_of(path)
    if (path / EXPORTED).is_file():
        from dtbh.models.onnx_encoder import open_exported

        return open_exported(path)
    try:
        from dtbh.models.torch_encoder import load as load_run
    except ModuleNotFoundError as error:
        read_run(path)  # what is no run folder is told so
        how = "pip install 'dtbh[train]', or give a model that dtbh export made of it"
        raise MissingExtraError(str(error.name), "train", f"{path}: a run folder", command=how) from None
    return load_run(path)
