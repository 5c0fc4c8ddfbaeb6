"""Opens a model, whether it is a run folder, with torch, or an exported model, without."""

from __future__ import annotations

from pathlib import Path

from dtbh.errors import RunError
from dtbh.models.encoder import EXPORTED, Encoder
from dtbh.models.run_files import is_address


def load(path: str | Path) -> Encoder:
    """Open a run folder, with torch, or an exported model, with neither torch nor Lightning.

    Args:
        path: The folder; or where it is fetched from, once: ``https://host/folder``, a ``.zip`` or ``.tar.gz`` of it,
            or ``hf://owner/name[@revision]``.

    Raises:
        RunError: Nothing of the kind here, no weights yet, or damaged files.
        DtbhError: An address from which nothing can be fetched.
        MissingExtraError: An exported model, but no onnxruntime.
    """
    if is_address(path):
        from dtbh.models.fetch import fetch

        path = fetch(str(path))
    path = Path(path)
    if (path / EXPORTED).is_file():
        from dtbh.models.onnx_encoder import open_exported

        return open_exported(path)
    try:
        from dtbh.models.torch_encoder import load as load_run
    except ModuleNotFoundError as error:
        raise RunError(
            f"{path}: a run folder, which needs {error.name}; give a model that dtbh export made of it, or "
            "install dtbh with its dependencies"
        ) from None
    return load_run(path)
