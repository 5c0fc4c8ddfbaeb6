"""The Dockerfile's steps in a clean Debian root, without Docker, and what the service in it answers.

    python examples/clean_root.py --suite bookworm            # Python 3.11; trixie has 3.13
    python examples/clean_root.py --suite trixie --tiles UCMerced_LandUse/Images/harbor --root /tmp/trixie

As root on Debian or Ubuntu, with mmdebstrap, unshare (util-linux) and flite. A root of Debian is made and the steps are
run in it, unless ``--root`` has both from an earlier call. Tiles are indexed, and searched by a typed and by a spoken
sentence; the service is started as the Dockerfile does, by its user, asked by its HEALTHCHECK, for its page and with
the spoken sentence, and ended. Then what the extra brought is taken out, and the base alone does the same. Nothing
after the install has a network. What goes wrong ends it with the step's own exit code.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

HERE = Path(__file__).parents[1]
SENTENCE = "many boats are lying in the harbor"
EXTRA = ("numba", "llvmlite")  # what EXTRAS=search brings
NEEDED = "mmdebstrap", "unshare", "chroot", "flite"
LOOPBACK = "import fcntl, socket, struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh', b'lo', 0x49))"
ENTER = """
mount -t proc proc "$1/proc"; mount --rbind /dev "$1/dev"; [ "$4" = on ] || "$5" -c "$6"
root=$1 user=$2 place=$3; shift 6
exec chroot --userspec="$user:$user" "$root" /usr/bin/env -i LANG=C.UTF-8 HOME=/tmp \\
  PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin /bin/bash -c 'cd "$0"; exec "$@"' "$place" "$@"
"""
SERVED = """
DTBH_TOKEN=secret "$@" & server=$!
for try in $(seq 600); do {health} 2>/tmp/health && break; sleep 0.5; done
python /data/ask.py && kill -TERM $server && wait $server
"""
ASK = """
import json, pathlib, time, urllib.error, urllib.request
def ask(path, data=None, kind=""):
    headers = {"authorization": "Bearer secret", "content-type": kind}
    request = urllib.request.Request("http://127.0.0.1:8000" + path, data=data, headers=headers)
    while True:
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
            time.sleep(1)  # the model is still loading
part = b'--x\\r\\nContent-Disposition: form-data; name="file"; filename="a.wav"\\r\\n\\r\\n%b\\r\\n--x--\\r\\n'
said = part % pathlib.Path("/data/said.wav").read_bytes()
(found,) = json.loads(ask("/v1/search/sound?k=3", said, "multipart/form-data; boundary=x"))["queries"]
print(f"/ has {len(ask('/'))} bytes; heard {found['heard']!r}: {[hit['id'] for hit in found['hits']]}")
"""


@dataclass
class Steps:
    """What a Dockerfile says.

    Attributes:
        done: RUN and COPY in order, each with the user, the folder and the arguments that hold there.
        user: Whom the command is run by.
        place: Where.
        health: The words of HEALTHCHECK.
        words: Those of ENTRYPOINT and CMD.
    """

    done: list[tuple[str, str, str, str, dict[str, str]]] = field(default_factory=list)
    user: str = "root"
    place: str = "/"
    health: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)


def read_steps(text: str) -> Steps:
    """The steps of a Dockerfile with the instructions that ours has.

    Raises:
        ValueError: Another one.
    """
    plain = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    found, given = Steps(), dict[str, str]()
    for word, _, rest in (line.partition(" ") for line in plain.splitlines() if line.strip()):
        rest = rest.strip()
        if word in ("RUN", "COPY"):
            found.done.append((word, rest, found.user, found.place, dict(given)))
        elif word == "ARG":
            name, _, given[name] = rest.partition("=")
        elif word == "WORKDIR":
            found.place = str(PurePosixPath(found.place, rest))
        elif word == "USER":
            found.user = rest
        elif word == "HEALTHCHECK":
            found.health = json.loads(rest[rest.index("[") :])
        elif word in ("ENTRYPOINT", "CMD"):
            found.words += json.loads(rest)
        elif word not in ("FROM", "EXPOSE"):
            raise ValueError(f"Dockerfile: {word} is not known here")
    return found


def inside(root: Path, words: Sequence[str], user: str, place: str, *, network: bool = False) -> None:
    """Run a command in the root; the script ends with its exit code unless that is 0."""
    apart = ["unshare", "--mount", "--pid", "--fork", *([] if network else ["--net"]), "bash", "-euc", ENTER, "bash"]
    told = [str(root), user, place, "on" if network else "off", sys.executable, LOOPBACK, *words]
    (root / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
    if code := subprocess.run([*apart, *told], check=False).returncode:
        print(f"{shlex.join(words)[:200]}: exit code {code}", file=sys.stderr)
        sys.exit(code)


def copied(sources: Sequence[str], to: Path) -> None:
    """What COPY does with files and folders of the checkout."""
    for source in (HERE / name for name in sources):
        if source.is_dir():
            shutil.copytree(source, to, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            to.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, to)


def follow(root: Path, steps: Steps) -> None:
    """Run and copy."""
    for word, rest, user, place, given in steps.done:
        if word == "RUN":
            settings = [f"{name}={value}" for name, value in given.items()]
            inside(root, ["env", *settings, "bash", "-euc", rest], user, place, network=True)
        else:
            *sources, to = rest.split()
            copied(sources, root / place.lstrip("/") / to)


def megabytes(folder: Path) -> int:
    """What lies in a folder."""
    return int(subprocess.run(["du", "-sm", folder], check=True, capture_output=True, text=True).stdout.split()[0])


def timed(what: str, began: float) -> float:
    """Say how long something took; gives the time."""
    print(f"{what}: {time.monotonic() - began:.0f} s", flush=True)
    return time.monotonic()


def make_root(root: Path, suite: str) -> None:
    """A Debian of the suite with Python and, as the Dockerfile's own root has them, python and pip."""
    include = "--include=python3,python3-venv,ca-certificates"
    subprocess.run(["mmdebstrap", "--variant=minbase", include, suite, root], check=True, capture_output=True)
    for file in ("/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt"):
        shutil.copy(file, root / file.lstrip("/"))
    inside(root, ["python3", "-m", "venv", "/usr/local"], "root", "/")


def brought(root: Path, tiles: Path | None) -> None:
    """What is mounted into the container: tiles, a model, and what is said."""
    data = root / "data"
    shutil.rmtree(data, ignore_errors=True)
    shutil.copytree(HERE / "dtbh" / "models" / "ready", data / "model")
    if tiles is None:
        from dtbh.data.synthetic.generate import draw

        with tempfile.TemporaryDirectory() as folder:
            draw(Path(folder) / "drawn", classes=4, per_class=3, size=64, captions=1)
            shutil.copytree(Path(folder) / "drawn" / "images", data / "tiles")
    else:
        shutil.copytree(tiles, data / "tiles")
    subprocess.run(["flite", "-voice", "slt", "-t", SENTENCE, "-o", data / "said.wav"], check=True)
    (data / "ask.py").write_text(ASK)


def used(root: Path, steps: Steps) -> None:
    """Index, search, and serve."""
    began = time.monotonic()
    shutil.rmtree(root / "data" / "archive", ignore_errors=True)
    inside(root, ["dtbh", "index", "/data/model", "/data/tiles", "--out", "/data/archive", "--quiet"], "root", "/data")
    began = timed("index", began)
    for query in (["--text", SENTENCE], ["--sound", "/data/said.wav"]):
        inside(root, ["dtbh", "search", "/data/archive", "-k", "3", *query], steps.user, "/data")
        began = timed(query[0], began)
    script = SERVED.format(health=shlex.join(steps.health))
    inside(root, ["bash", "-uc", script, "bash", *steps.words], steps.user, steps.place)
    timed("serve", began)


def main() -> int:
    """Make, run, measure."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--suite", default="bookworm")
    parser.add_argument("--root", type=Path, help="where the root is made, or stands from an earlier call")
    parser.add_argument("--tiles", type=Path, help="a folder of images (default: drawn ones)")
    args = parser.parse_args()
    if missing := [name for name in NEEDED if shutil.which(name) is None]:
        parser.error(f"needs {', '.join(missing)}: apt-get install mmdebstrap util-linux flite")
    if os.geteuid():
        parser.error("needs root, to make a root of Debian and to enter it")
    steps = read_steps((HERE / "Dockerfile").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as temporary:
        root, began = (args.root or Path(temporary) / "root").absolute(), time.monotonic()
        if not (root / "usr/local/bin/python").exists():
            make_root(root, args.suite)
            began = timed(f"a root of {args.suite}", began)
        before = megabytes(root)
        if not (root / "usr/local/bin/dtbh").exists():
            follow(root, steps)
            timed(f"the steps ({before} MB before, {megabytes(root)} after)", began)
        brought(root, args.tiles)
        used(root, steps)
        inside(root, ["pip", "uninstall", "--yes", "--quiet", *EXTRA], "root", "/")
        print(f"without {', '.join(EXTRA)}, {megabytes(root)} MB:", flush=True)
        used(root, steps)
    return 0


if __name__ == "__main__":
    sys.exit(main())
