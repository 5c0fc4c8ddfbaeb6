"""Commands that search: search, serve."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from dtbh.cli.commands import Arguments, Parser, command, show
from dtbh.cli.options import add_engine, add_where, engine_of, opened, pairs
from dtbh.errors import ConfigError
from dtbh.utils import progress

if TYPE_CHECKING:
    from dtbh.index.engines.base import Engine
    from dtbh.web.tls import Certificate


SAID = {
    "weak": "a weak answer: the nearest may be what is meant",
    "nothing close": "nothing close: the nearest are shown, but none is likely what is meant",
}


def _add_search(parser: Parser) -> None:
    """What ``dtbh search`` takes."""
    parser.add_argument("archive", type=Path, nargs="?")
    query = parser.add_mutually_exclusive_group(required=True)
    query.add_argument("--sound", type=Path)
    query.add_argument("--image", type=Path)
    query.add_argument("--text", metavar="WORDS", help='as in --text "dinghies at a quay"')
    parser.add_argument("--language", default="auto", metavar="XX", help="what is spoken, as in es, for models that "
                        "hear any language (default auto)")  # fmt: skip
    parser.add_argument("-k", type=int, default=10, help="how many hits (default 10)")
    parser.add_argument("--rescore", type=int, metavar="N", help="order the N nearest codes by their vectors, 0 for "
                        "none, that is by the bits alone (default, if the archive keeps vectors: 1000, and --expand 20 "
                        "--asymmetric; with --rescore those are off unless said)")  # fmt: skip
    parser.add_argument("--expand", type=int, metavar="N", help="take the first N of these hits as examples of what is "
                        "meant (pseudo-relevance feedback), 0 for none")  # fmt: skip
    parser.add_argument("--asymmetric", action=argparse.BooleanOptionalAction, help="let each bit count as much as the "
                        "query is sure of it")  # fmt: skip
    parser.add_argument("--find", choices=("image", "sound", "text", "any"), help="default: the other modality")
    add_where(parser)
    parser.add_argument("--bbox", metavar="W,S,E,N", help="only footprints that meet this box, in degrees")
    parser.add_argument("--geojson", type=Path, metavar="OUT", help="write the hits' footprints")
    parser.add_argument(
        "--model", help="the run that made the archive, if it moved: its folder, https://... or hf://..."
    )
    parser.add_argument("--open", action="store_true", help="show the hits as a page with pictures and players")
    add_engine(parser)


@command(_add_search)
def search(args: Arguments) -> int:
    """Search an archive with a sound, an image or a text."""
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")  # NumPy's threads sleep where they wait
    from dtbh.search.query import check_encoder, encode_query, ranking_for, why_nothing
    from dtbh.search.query import search as search_index
    from dtbh.search.ranking import chosen
    from dtbh.search.table import render_table

    index, where = opened(args), pairs(args.where)
    where |= {"bbox": args.bbox} if args.bbox else {}
    run = args.model or index.model
    if run is None:
        raise ConfigError(f"{args.archive or index.name}: does not say which run made it; give --model RUN")
    from dtbh.models.load import load

    model = load(run)
    model.language = args.language
    check_encoder(index, model)
    ranking = chosen(ranking_for(index, model), args.rescore, args.expand, args.asymmetric)
    vectors = ranking.rescore is not None
    query = encode_query(model, sound=args.sound, image=args.image, text=args.text, vectors=vectors)
    result = search_index(index, model, query, args.k, find=args.find, where=where, ranking=ranking)
    heard = query.heard.get(query.codes.items[0].id)
    if args.sound and model.senses.sentences is not None:
        progress.echo(f"heard: {heard}" if heard else "no words heard; searched by its sound")
    if said := SAID.get(result.strength() or ""):
        progress.echo(said)
    show(args, render_table(result), result.to_dict() | ({"heard": heard} if args.sound else {}))
    if where and not result.rows.size:
        progress.echo(why_nothing(index, where))
    if args.geojson:
        from dtbh.search.geojson import write_geojson

        count = write_geojson(result, args.geojson)
        progress.echo(f"{args.geojson}: {count} footprints")
    if args.open:
        import tempfile
        import webbrowser

        from dtbh.search.contact_sheet import write_sheet

        page = Path(tempfile.mkdtemp(prefix="dtbh-")) / "results.html"
        hit_words = index.at(result.rows.ravel()).words.reshape(*result.rows.shape, -1)
        write_sheet(result, query.transcribed(), page, hit_words=hit_words)
        progress.echo(f"page: {page}")
        webbrowser.open(page.as_uri())
    return 0


def _add_serve(parser: Parser) -> None:
    """What ``dtbh serve`` takes."""
    parser.add_argument("archives", type=Path, nargs="*", metavar="ARCHIVE")
    parser.add_argument("--model", help="what made the archives, if it moved: a folder, https://... or hf://...")
    parser.add_argument("--host", default="127.0.0.1", help="default 127.0.0.1: this machine alone")
    parser.add_argument("--port", type=int, default=8000, help="default 8000; 0 takes a free one")
    parser.add_argument("--token", default=os.environ.get("DTBH_TOKEN"), help="what clients must know, wanted where "
                     "others can reach the host (default: $DTBH_TOKEN)")  # fmt: skip
    parser.add_argument("--share", action="store_true", help="listen on all interfaces, and print an address with a "
                        "token for others, and its QR code")  # fmt: skip
    parser.add_argument("--tls", choices=("self",), help="over TLS, with a certificate made at start for this machine; "
                        "browsers give others a microphone over TLS alone")  # fmt: skip
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="over TLS, with this certificate (PEM)")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="the certificate's key (PEM)")
    parser.add_argument("--root-path", default="", metavar="/PATH", help="where a proxy has the service")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in upload_mb=50")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    add_engine(parser)


@command(_add_serve)
def serve(args: Arguments) -> int:
    """Serve archives as a page and a service."""
    from dtbh.config import make_service
    from dtbh.index.engines.archive import ArchiveEngine
    from dtbh.web.serve import serve as run

    args.archive = args.archives[0] if args.archives else None
    engines: list[Engine] = [engine_of(args), *map(ArchiveEngine, args.archives[1:])]
    run(engines, model=args.model, host=args.host, port=args.port, token=args.token, share=args.share,
        certificate=_certificate(args), root_path=args.root_path.rstrip("/"), limits=make_service(args.set),
        browser=args.open)  # fmt: skip
    return 0


def _certificate(args: Arguments) -> Certificate | None:
    """What the options of TLS ask for; says what browsers will show of a certificate that is made here."""
    from dtbh.web.addresses import own_addresses, own_names
    from dtbh.web.tls import certificate_of, self_signed

    if (args.tls_cert is None) != (args.tls_key is None):
        raise ConfigError("--tls-cert and --tls-key go together; give both, or --tls self")
    if args.tls_cert is not None:
        if args.tls:
            raise ConfigError("--tls self makes its own certificate; leave --tls-cert and --tls-key away")
        return certificate_of(args.tls_cert, args.tls_key)
    if not args.tls:
        return None
    made = self_signed(own_names(), own_addresses())
    progress.echo(f"browsers will warn of this certificate; its SHA-256 fingerprint: {made.fingerprint}")
    return made
