"""How the command line behaves in a shell: pipes, JSON, quiet, colours, completion, commands of one's own."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dtbh.cli.commands import COMMANDS, command
from dtbh.cli.main import main
from dtbh.data.manifest import read_manifest

DTBH = [sys.executable, "-m", "dtbh.cli"]


@pytest.fixture(scope="module")
def archive(tiny_run: Path, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("archives") / "tiny"
    assert main(["index", str(tiny_run), str(tiny_data), "--out", str(out)]) == 0
    return out


def test_a_reader_that_goes_away_ends_it_silently(archive: Path, tiny_data: Path) -> None:
    manifest = read_manifest(tiny_data)
    sound = next(manifest.file(item) for item in manifest.sounds)
    reader, writer = os.pipe()
    os.close(reader)  # as head, once it has read enough
    done = subprocess.run(
        [*DTBH, "search", str(archive), "--sound", str(sound)], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert done.stderr == b""
    assert done.returncode == 141


def test_every_command_that_prints_results_prints_json(
    archive: Path, tiny_run: Path, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data = shutil.copytree(tiny_run, tmp_path / "run"), tiny_data
    image = next(str(read_manifest(data).file(item)) for item in read_manifest(data).images)
    mine, codes = str(shutil.copytree(archive, tmp_path / "archive")), str(tmp_path / "codes")
    first, half = read_manifest(data).images[0].id, [str(run), str(data), "--shard"]
    calls = {
        "prepare": ["synthetic", "--classes", "2", "--per-class", "1", "--size", "32", "--out", str(tmp_path / "new")],
        "evaluate": [str(run)], "report": [str(run / "report")], "compare": [str(run), str(tiny_run)],
        "schema": [str(tmp_path / "schema.json")],
        "encode": [*half, "1/2", "--out", f"{codes}1"], "index": [str(run), str(data), "--out", mine, "--add"],
        "merge": [codes, f"{codes}1", f"{codes}2"], "info": [mine, "--verify"], "remove": [mine, first],
        "compact": [mine], "search": [mine, "--image", image], "doctor": [], "completion": ["fish"],
    }  # fmt: skip
    assert main(["evaluate", str(tiny_run), "--quiet"]) == 0
    assert main(["encode", *half, "2/2", "--out", f"{codes}2"]) == 0
    for name, arguments in calls.items():
        capsys.readouterr()
        assert main([name, *arguments, "--json"]) == 0, name
        assert json.loads(capsys.readouterr().out), name
    # Long ones, and one that wants a tower for texts, are seen in their own tests; a service prints none.
    unseen = {"speak", "train", "sweep", "export", "publish", "serve", "label"}
    assert {*calls} | unseen == {*COMMANDS}


def test_quiet_says_results_and_nothing_else(
    tiny_run: Path, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["index", str(tiny_run), str(tiny_data), "--out", str(tmp_path / "archive")]
    done = subprocess.run([*DTBH, *arguments, "--quiet"], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("settings", [{}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}])
def test_nothing_is_coloured_in_a_pipe_or_where_nobody_wants_it(
    archive: Path, tiny_data: Path, settings: dict[str, str]
) -> None:
    image = str(next(read_manifest(tiny_data).file(item) for item in read_manifest(tiny_data).images))
    done = subprocess.run(
        [*DTBH, "search", str(archive), "--image", image],
        capture_output=True, text=True, check=True, env={**os.environ, **settings},
    )  # fmt: skip
    assert done.stdout.strip()
    assert "\x1b" not in done.stdout + done.stderr


def completed(line: str, folder: Path) -> list[str]:
    """What a shell is told of how a line goes on."""
    told = folder / "told"
    settings = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_IFS": "\n",
                "_ARGCOMPLETE_STDOUT_FILENAME": str(told), "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
                "PYTHONPATH": str(Path(__file__).parents[2])}  # fmt: skip
    subprocess.run(DTBH, env={**os.environ, **settings}, cwd=folder, check=False, capture_output=True)
    return [word.strip() for word in told.read_text().split("\n")]


def test_a_shell_completes_commands_options_presets_and_archives(archive: Path, tmp_path: Path) -> None:
    shutil.copytree(archive, tmp_path / "archives" / "mine")
    (tmp_path / "archives" / "notes.txt").write_text("no archive\n")
    (tmp_path / "mine.yaml").write_text("seed: 1\n")
    assert completed("dtbh eva", tmp_path) == ["evaluate"]
    assert "--gallery" in completed("dtbh evaluate --ga", tmp_path)
    assert "ucm" in completed("dtbh prepare u", tmp_path)
    assert completed("dtbh train mi", tmp_path) == ["mine.yaml"]
    assert completed("dtbh search archives/", tmp_path) == ["archives/mine/"]


def test_the_code_of_a_shell_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    code = capsys.readouterr().out
    assert subprocess.run(["bash", "-c", f"{code}\ncomplete -p dtbh"], capture_output=True, check=True).stdout


def test_a_command_of_ones_own_is_one_function(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def greet(args: argparse.Namespace) -> int:
        """Say good morning."""
        print(f"good morning, {args.whom}")
        return 0

    monkeypatch.setitem(COMMANDS, "greet", None)  # so that it is gone afterwards
    del COMMANDS["greet"]
    command(lambda parser: parser.add_argument("whom"))(greet)
    assert main(["greet", "harbor"]) == 0
    assert capsys.readouterr().out == "good morning, harbor\n"
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "Say good morning." in capsys.readouterr().out


def test_a_filter_that_nothing_passes_is_explained(
    archive: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = str(next(read_manifest(tiny_data).file(item) for item in read_manifest(tiny_data).images))
    labels = read_manifest(tiny_data).labels
    wrong = f"{labels[0]}s"
    assert main(["search", str(archive), "--image", image, "--where", f"label={wrong}"]) == 0
    said = capsys.readouterr()
    assert said.out == "nothing passes\n"
    assert f"no item has label={wrong}; label is one of {labels[0]}" in said.err


def test_prepare_says_only_what_is_possible(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--classes", "2", "--per-class", "10", "--size", "32"]
    assert main(["prepare", "synthetic", *sizes, "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "\n  random: train " in said
    assert "speaker-disjoint" not in said  # nobody has spoken yet, and nobody asked
