"""Rescoring over HTTP and on the page: the archive's own answers, and what a query without vectors is told."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from dtbh.errors import ConfigError
from dtbh.index.archive.archive import Archive, open_archive
from dtbh.models.encoder import Encoder
from dtbh.stages.index import index
from tests.browser import Visiting
from tests.web.conftest import Making, Serving
from tests.web.test_page import CARDS

R = 20
BEST = "k=7&rescore=1000&expand=20&asymmetric=true"


@pytest.fixture(scope="module")
def place(tiny_run: Path, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(index(tiny_run, tiny_data, out=tmp_path_factory.mktemp("archives") / "vectors", vectors=True).path)


@pytest.fixture(scope="module")
def archive(place: Path) -> Archive:
    return open_archive(place)


@pytest.fixture(scope="module")
def client(make: Making, place: Path, tiny_archive: Path) -> Iterator[TestClient]:
    with TestClient(make(place, tiny_archive)) as opened:
        yield opened


@pytest.fixture
def a_sound(archive: Archive) -> Path:
    return Path(str(archive.item("red3S1").path))


def asked(client: TestClient, sound: Path, more: str) -> dict[str, Any]:
    reply = client.post(f"/v1/search/sound?archive=vectors&{more}", files={"file": sound.read_bytes()})
    assert reply.status_code == 200, reply.text
    return dict(reply.json()["queries"][0])


def hits(answer: dict[str, Any]) -> list[tuple[str, int, float | None]]:
    return [(hit["id"], hit["distance"], hit["similarity"]) for hit in answer["hits"]]


def wanted(archive: Archive, model: Encoder, sound: Path, k: int, rescore: int) -> list[tuple[str, int, float]]:
    result = archive.search(model.encode_sounds([sound], vectors=True), k, rescore=rescore)
    return [(hit.item.id, hit.distance, round(hit.similarity or 0, 4)) for hit in result.hits()]


def test_a_sound_is_rescored_as_by_the_archive(
    client: TestClient, archive: Archive, a_sound: Path, tiny_model: Encoder
) -> None:
    answer = asked(client, a_sound, f"k=7&rescore={R}")
    assert hits(answer) == wanted(archive, tiny_model, a_sound, 7, R)
    plain = asked(client, a_sound, "k=7&rescore=0")
    assert [hit["similarity"] for hit in plain["hits"]] == [None] * 7
    assert plain["vector"] is None
    assert hits(plain) != hits(answer)
    assert hits(asked(client, a_sound, "k=7")) == hits(asked(client, a_sound, BEST)) != hits(plain)
    assert {hit["vector"] for hit in answer["hits"]} == {None}
    reply = client.post("/v1/search/sound?k=7", files={"file": a_sound.read_bytes()}).json()["queries"][0]
    assert {hit["similarity"] for hit in reply["hits"]} == {None}, "one of the archives keeps no vectors"


def test_a_code_goes_with_its_vector(client: TestClient, a_sound: Path) -> None:
    answer = asked(client, a_sound, f"k=7&rescore={R}")
    again = {"codes": [answer["code"]], "vectors": [answer["vector"]], "rescore": R, "k": 7, "find": "image",
             "archive": ["vectors"], "belief": answer["belief"]}  # fmt: skip
    reply = client.post("/v1/search/code", json=again).json()["queries"][0]
    assert [reply["hits"], reply["vector"]] == [answer["hits"], answer["vector"]]
    for wrong, said in (
        ({"vectors": None}, "the codes came without vectors; send those of an answer or of an item too"),
        ({"vectors": [answer["vector"]] * 2}, "vectors: wanted one for each of 1 codes, found 2"),
        ({"vectors": [answer["vector"][:-8]]}, "the queries' vectors have 29 numbers, those of vectors 32"),
        ({"vectors": ["A"]}, "is no vector as an answer or an item gives it"),
        ({"rescore": 1001}, "rescore: at most 1000 codes can be rescored, found 1001"),
        ({"archive": ["tiny"]}, "tiny: keeps no vectors, so nothing can be rescored; index again with --vectors"),
        ({"archive": []}, "tiny: keeps no vectors"),
    ):
        refused = client.post("/v1/search/code", json={**again, **wrong})
        assert (refused.status_code, said in refused.json()["detail"]) == (422, True), refused.text


def test_an_item_gives_its_vector(client: TestClient, archive: Archive) -> None:
    entry = client.get("/v1/items/blue5?archive=vectors").json()
    ask = {"codes": [entry["code"]], "vectors": [entry["vector"]], "rescore": 36, "k": 5, "find": "image",
           "archive": ["vectors"]}  # fmt: skip
    found = client.post("/v1/search/code", json=ask).json()["queries"][0]
    result = archive.search(archive.codes(["blue5"]), 5, find="image", rescore=36)
    assert hits(found) == [(h.item.id, h.distance, round(h.similarity or 0, 4)) for h in result.hits()]
    assert found["hits"][0]["similarity"] == 1
    assert client.get("/v1/items/blue5?archive=tiny").json()["vector"] is None
    assert [one["vectors"] for one in client.get("/v1/archives").json()["archives"]] == [True, False]


def test_those_near_enough_are_chosen_before_the_first_k(
    client: TestClient, archive: Archive, a_sound: Path, tiny_model: Encoder
) -> None:
    near = [hit for hit in wanted(archive, tiny_model, a_sound, 36, 36) if hit[1] <= 1]
    assert near[:3] != wanted(archive, tiny_model, a_sound, 3, 36), "the case is not vacuous"
    assert hits(asked(client, a_sound, "k=3&rescore=36&distance=1")) == near[:3]


def test_bits_are_weighed_where_that_is_asked_for(
    make: Making, client: TestClient, archive: Archive, tiny_archive: Path, a_sound: Path, tiny_model: Encoder
) -> None:
    codes = tiny_model.encode_sounds([a_sound], vectors=True)

    def found(rescore: int | None = None, k: int = 7) -> list[tuple[str, int, float]]:
        answer = archive.search(codes, k, rescore=rescore, asymmetric=True)
        return [(hit.item.id, hit.distance, round(hit.similarity or 0, 4)) for hit in answer.hits()]

    weighed, best = (hits(asked(client, a_sound, f"k=7{said}")) for said in ("&rescore=0&asymmetric=true", ""))
    assert weighed == found() != best
    assert hits(asked(client, a_sound, f"k=7&asymmetric=true&rescore={R}")) == found(R)
    near = [hit for hit in found(k=36) if hit[1] <= 2]
    assert hits(asked(client, a_sound, "k=7&rescore=0&asymmetric=true&distance=2")) == near[:7]
    with TestClient(make(tiny_archive, limits={"asymmetric": True})) as by_itself:
        reply = by_itself.post("/v1/search/sound?k=7", files={"file": a_sound.read_bytes()}).json()["queries"][0]
        assert [hit["similarity"] for hit in reply["hits"]] == [alike for _, _, alike in found()]
        alone = by_itself.post("/v1/search/code", json={"codes": [reply["code"]], "k": 7}).json()["queries"][0]
        assert alone["hits"][0]["similarity"] is None, "a code that comes alone is searched as before"


def test_a_code_goes_with_its_weights(client: TestClient, make: Making, tiny_archive: Path, a_sound: Path) -> None:
    answer = asked(client, a_sound, "k=7&rescore=0&asymmetric=true")
    assert asked(client, a_sound, "k=7&rescore=0")["weights"] is None
    again = {"codes": [answer["code"]], "weights": [answer["weights"]], "k": 7, "find": "image",
             "archive": ["vectors"], "belief": answer["belief"]}  # fmt: skip
    reply = client.post("/v1/search/code", json=again).json()["queries"][0]
    assert [reply["hits"], reply["weights"]] == [answer["hits"], answer["weights"]]
    reply = client.post("/v1/search/code", json={**again, "asymmetric": False}).json()["queries"][0]
    assert (reply["weights"], reply["hits"][0]["similarity"]) == (None, None)
    for wrong, said in (
        ({"weights": None}, "the codes came without weights; send those of an answer too"),
        ({"weights": [answer["weights"]] * 2}, "weights: wanted one for each of 1 codes, found 2"),
        ({"weights": [answer["weights"] + "0"]}, "a code of 12 bits has 12 weights, found 13"),
        ({"weights": ["8" * 12]}, "should match pattern"),
    ):
        refused = client.post("/v1/search/code", json={**again, "asymmetric": True, **wrong})
        assert (refused.status_code, said in refused.json()["detail"]) == (422, True), refused.text


def test_the_page_goes_on_weighing(
    make: Making, serving: Serving, tiny_archive: Path, visit: Visiting, a_sound: Path
) -> None:
    """More, another filter, and a copied address ask with the code of the answer, which has its weights."""

    def shown(at_least: int) -> list[str]:
        seen.page.wait_for_function(f"document.querySelectorAll('{CARDS}').length >= {at_least}")
        return seen.page.locator(f"{CARDS} .foot span").all_inner_texts()

    with serving(make(tiny_archive, limits={"asymmetric": True})) as address:
        seen = visit(address, bypass_csp=True)
        seen.page.set_input_files("#file", a_sound)
        first = shown(30)
        assert all("similarity" in text for text in first)
        seen.page.click("#more")
        assert shown(31)[:30] == first
        seen.page.reload()
        assert shown(31)[:30] == first
        assert seen.outside == seen.errors == []


def test_first_hits_are_examples_where_that_is_asked_for(
    client: TestClient, make: Making, place: Path, tiny_archive: Path, archive: Archive, a_sound: Path,
    tiny_model: Encoder,
) -> None:  # fmt: skip
    codes = tiny_model.encode_sounds([a_sound], vectors=True)
    found = [
        (hit.item.id, hit.distance, round(hit.similarity or 0, 4))
        for hit in archive.search(codes, 7, rescore=R, expand=3).hits()
    ]
    answer = asked(client, a_sound, f"k=7&rescore={R}&expand=3")
    assert hits(answer) == found != wanted(archive, tiny_model, a_sound, 7, R)
    assert hits(asked(client, a_sound, f"k=7&rescore={R}&expand=0")) == wanted(archive, tiny_model, a_sound, 7, R)
    again = {"codes": [answer["code"]], "vectors": [answer["vector"]], "rescore": R, "expand": 3, "k": 7,
             "find": "image", "archive": ["vectors"]}  # fmt: skip
    assert hits(client.post("/v1/search/code", json=again).json()["queries"][0]) == found
    for wrong, said in (
        ({"rescore": 0}, "expand goes with rescore, the number of candidates, as in rescore=1000"),
        ({"rescore": None, "vectors": None}, "expand: the codes came without vectors; send those of an answer"),
    ):
        refused = client.post("/v1/search/code", json={**again, **wrong})
        assert (refused.status_code, said in refused.json()["detail"]) == (422, True), refused.text
    with TestClient(make(place, limits={"rescore": R, "expand": 3})) as by_itself:
        assert hits(asked(by_itself, a_sound, "k=7")) == found
        assert by_itself.get("/v1/archives").json()["limits"]["expand"] == 3
        assert hits(asked(by_itself, a_sound, "k=7&rescore=0"))[0][2] is None, "and nothing is expanded"
        alone = by_itself.post("/v1/search/code", json={"codes": [answer["code"]], "k": 7}).json()["queries"][0]
        assert alone["hits"][0]["similarity"] is None, "a code that comes alone is searched as before"
    with TestClient(make(place, limits={"expand": 3})) as by_itself:
        assert hits(asked(by_itself, a_sound, "k=7")) == hits(asked(client, a_sound, "k=7&expand=3"))
    with pytest.raises(ConfigError, match="tiny: keeps no vectors"):
        make(tiny_archive, limits={"expand": 3})


def test_candidates_that_are_said_are_all_and_others_change_themselves(
    make: Making, client: TestClient, place: Path, a_sound: Path
) -> None:
    same = {
        "": "rescore=1000&expand=20&asymmetric=true",
        "expand=0": "rescore=1000&expand=0&asymmetric=true",
        "expand=3": "rescore=1000&expand=3&asymmetric=true",
        "asymmetric=false": "rescore=1000&expand=20&asymmetric=false",
        "rescore=1000": "rescore=1000&expand=0&asymmetric=false",
        "rescore=0": "rescore=0&expand=0&asymmetric=false",
    }
    found = [hits(asked(client, a_sound, f"k=7&{said}")) for said in same]
    assert found == [hits(asked(client, a_sound, f"k=7&{whole}")) for whole in same.values()]
    assert len({str(one) for one in found}) >= 4, "the case is not vacuous"
    with TestClient(make(place, limits={"hits": 7})) as few:
        best = hits(asked(few, a_sound, "k=7"))
        assert best == hits(asked(few, a_sound, "k=7&rescore=7&expand=20&asymmetric=true")), "no more than may be asked"
        assert few.get("/v1/archives").json()["limits"].items() >= {"rescore": None, "asymmetric": None}.items()


def test_a_service_says_which_archive_keeps_others_from_their_vectors(
    make: Making, place: Path, tiny_archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(place, tiny_archive)
    assert "tiny: without vectors, so that all archives together are searched by the bits" in capsys.readouterr().err
    make(place)
    make(tiny_archive)
    assert capsys.readouterr().err == ""


def test_several_archives_are_one_order(make: Making, place: Path, a_sound: Path) -> None:
    with TestClient(make(place, place)) as both:
        reply = both.post(f"/v1/search/sound?k=6&rescore={R}", files={"file": a_sound.read_bytes()}).json()
        alone = asked(both, a_sound, f"k=6&rescore={R}")
    (answer,) = reply["queries"]
    assert {hit["archive"] for hit in answer["hits"]} == {"vectors", "vectors-2"}
    alike = [hit["similarity"] for hit in answer["hits"]]
    assert alike == sorted(2 * [hit["similarity"] for hit in alone["hits"]], reverse=True)[:6]


def test_clients_that_ask_together_get_each_their_own(client: TestClient, archive: Archive) -> None:
    sounds = [Path(str(item.path)) for item in archive.items(archive.rows({"modality": "sound"})[:6])]
    ways = ["k=5", f"k=5&rescore={R}", "k=5&rescore=5"]
    questions = [(sound, way) for sound in sounds for way in ways]
    alone = [hits(asked(client, *question)) for question in questions]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda question: hits(asked(client, *question)), questions))
    assert together == alone


def test_a_service_may_rescore_by_itself(
    make: Making, place: Path, tiny_archive: Path, archive: Archive, a_sound: Path, tiny_model: Encoder
) -> None:
    with TestClient(make(place, limits={"rescore": R})) as client:
        answer = asked(client, a_sound, "k=7")
        assert hits(answer) == wanted(archive, tiny_model, a_sound, 7, R)
        assert hits(asked(client, a_sound, "k=7&rescore=0"))[0][2] is None
        reply = client.post("/v1/search/code", json={"codes": [answer["code"]], "k": 7}).json()
        assert reply["queries"][0]["hits"][0]["similarity"] is None, "a code that comes alone is searched as before"
    with pytest.raises(ConfigError, match="tiny: keeps no vectors, so nothing can be rescored"):
        make(tiny_archive, limits={"rescore": R})


@pytest.mark.parametrize("width", [1280, 360])
def test_the_page_goes_on_rescoring(
    make: Making, serving: Serving, place: Path, visit: Visiting, a_sound: Path, width: int
) -> None:
    def shown() -> list[str]:
        seen.page.wait_for_selector(CARDS)
        return seen.page.locator(f"{CARDS} .foot span").all_inner_texts()

    with serving(make(place, limits={"rescore": R})) as address:
        seen = visit(address, width=width, bypass_csp=True)
        seen.page.set_input_files("#file", a_sound)
        first = shown()
        alike = [float(text.split("similarity ")[1].split(",")[0]) for text in first]
        assert alike == sorted(alike, reverse=True)
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
        apart = [int(text.split()[1].rstrip(",")) for text in first]
        assert f"{min(apart)} to {max(apart)} of 12 bits apart" in seen.page.inner_text("#asked-more")
        seen.page.reload()
        assert shown() == first, "the vector stands in the address"
        link = seen.page.url
        with seen.page.expect_download() as download:
            seen.page.click("#csv")
        rows = list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))
        assert [f"{float(row['similarity']):.3f}" for row in rows] == [f"{one:.3f}" for one in alike]
        seen.page.locator(f"{CARDS} .like").nth(1).click()
        seen.page.wait_for_function("document.querySelector('#result-name').textContent.startsWith('More like')")
        seen.page.wait_for_function("document.querySelector('.card .foot span').textContent.includes('1.000')")
        seen.page.reload()
        assert "similarity 1.000" in shown()[0]
        seen.page.goto(link)
        assert shown() == first
        assert seen.outside == seen.errors == []
