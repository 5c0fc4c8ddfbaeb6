"""The shards of a big archive, run by Ray over a cluster, or over the cores of one machine.

The run, the media and the place must be on a file system that all machines see under the same paths. A shard that is
done is kept until all are; the same call again goes on.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from dtbh.data.shards import Shard
from dtbh.data.tiling import Tiling
from dtbh.errors import ConfigError, DataError, DtbhError, MissingExtraError
from dtbh.models.run_files import is_address, place_of
from dtbh.stages.encode import encode
from dtbh.stages.index import index
from dtbh.stages.merge import merge
from dtbh.stages.resumable import StageResult
from dtbh.utils.interrupts import kept
from dtbh.utils.progress import echo

STAGES = {"encode": encode, "index": index}


def over_cluster(
    stage: Literal["encode", "index"],
    run: str | Path,
    source: str | Path,
    *,
    out: str | Path,
    shards: int,
    split: str = "all",
    strict: bool = False,
    cutting: Tiling | None = None,
    passages: bool = False,
    vectors: bool | None = None,
) -> StageResult:
    """Encode or index in shards, each a task of Ray, and merge them.

    The cluster is the one that ``RAY_ADDRESS`` names or that the process has joined; without one, Ray is started on
    this machine for the time of the call.

    Args:
        stage: What to make of the items.
        run: As in `dtbh.stages.index.index`, and so are the others but these.
        source: A prepared data folder, any folder with images or sounds, or a file.
        out: The folder of codes, or the archive.
        shards: How many, from 2; some times the number of workers, so that none waits long for the last.
        split: Of a manifest, the split to take.
        strict: Stop at the first file that can't be read.
        cutting: How to cut scenes into tiles.
        passages: Cut long sounds into passages.
        vectors: As in `dtbh.stages.index.index`; of an archive alone.

    Raises:
        MissingExtraError: Ray is not installed.
        DtbhError: What a shard raised; those that are done are kept.
    """
    if shards < 2:
        raise ConfigError(f"--ray {shards}: wanted two shards or more")
    out = Path(out).absolute()
    parts = out.parent / f".{out.name}.shards"
    model = run if is_address(run) else place_of(run).absolute()
    arguments = {"run": str(model), "source": str(Path(source).absolute()), "split": split, "strict": strict,
                 "known": str(out), "cutting": cutting.to_json() if cutting else "", "passages": passages,
                 "vectors": vectors}  # fmt: skip
    rows = [
        {"stage": stage, "number": number, "of": shards, "out": str(parts / str(number)), **arguments}
        for number in range(1, shards + 1)
    ]
    with kept(f"shards that are done are kept in {parts}, and the same call goes on from there"), _ray() as ray:
        task = ray.remote(num_cpus=1)(_one)
        waiting, answers = [task.remote(row) for row in rows], list[dict[str, Any]]()
        while waiting:
            (done,), waiting = ray.wait(waiting, num_returns=1)
            answers.append(answer := ray.get(done))
            echo(f"{len(answers)} of {shards} shards: {answer['error'] or answer['said']}")
    if errors := [answer["error"] for answer in answers if answer["error"]]:
        raise DtbhError(f"{len(errors)} of {shards} shards failed, the others are kept; the first said: {errors[0]}")
    failures = [line for answer in sorted(answers, key=lambda a: a["number"]) for line in answer["failures"]]
    if failures and not any(answer["count"] for answer in answers):
        shutil.rmtree(parts)
        raise DataError(f"{source}: none of {len(failures)} files could be read", failures[:20])
    done = merge(out, [parts / str(number) for number in range(1, shards + 1)])
    shutil.rmtree(parts)
    return StageResult(done.path, done.count, tuple(failures), sum(answer["new"] for answer in answers))


def _one(row: dict[str, Any]) -> dict[str, Any]:
    """One shard, in a worker."""
    answer = {"number": row["number"], "said": "", "error": "", "count": 0, "new": 0, "failures": list[str]()}
    more = {} if row["vectors"] is None else {"vectors": row["vectors"]}  # of an archive alone
    try:
        done = STAGES[row["stage"]](row["run"], row["source"], out=row["out"], split=row["split"],
                                    strict=row["strict"], shard=Shard(row["number"], row["of"]),
                                    known=row["known"], passages=row["passages"],
                                    cutting=Tiling.from_json(row["cutting"]) if row["cutting"] else None,
                                    **more)  # fmt: skip
    except DtbhError as error:
        return answer | {"error": str(error) or type(error).__name__}
    said = f"{row['number']}/{row['of']} has {done.count} items, {done.new} of them new"
    return answer | {"said": said, "count": done.count, "new": done.new, "failures": list(done.failures)}


@contextmanager
def _ray() -> Iterator[Any]:
    """Ray, joined to a cluster or started for the time of the block; its makers are told nothing."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "ray", "--ray") from None
    own = not ray.is_initialized()
    if own:
        ending = signal.getsignal(signal.SIGTERM)
        ray.init(logging_level=logging.ERROR, log_to_driver=False, include_dashboard=False)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, ending)  # Ray has put its own in its place
    try:
        yield ray
    finally:
        if own:
            ray.shutdown()
