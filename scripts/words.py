"""Keeps locale/ in step with the texts: adds new ones, drops unused ones, compiles what is there.

    .venv/bin/python -m scripts.words

Needs Babel and not gettext's programs. What it added has an empty translation and is printed.
"""

import ast
import io
import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
LANGUAGES = ("de",)
ANY_DATE = datetime(2026, 1, 1, tzinfo=UTC)  # the same texts make the same file
CALLS = {"_", "_lazy", "gettext", "gettext_lazy"}
RECORDS = {"record", "record_each", "record_first", "_tell", "_tell_hold", "_appoint", "_dismiss"}
PLURALS = {"ngettext", "ngettext_lazy"}
TEXT = r"""u?(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")"""
IN_TEMPLATE = re.compile(rf"\b(?:gettext|_)\(({TEXT})\)|\bngettext\(({TEXT}), ?({TEXT})")

Message = str | tuple[str, str]


def messages() -> set[Message]:
    """All texts that a person may read; a pair is singular and plural."""
    found: set[Message] = set(_of_domains())
    for path in sorted((ROOT / "templates").glob("*.html")):
        found |= set(_of_template(path.read_text()))
    for path in sorted((ROOT / "triage").rglob("*.py")):
        if "migrations" not in path.parts:
            found |= set(_of_python(ast.parse(path.read_text())))
    return found - {""}


def _of_template(source: str) -> Iterator[Message]:
    from django.utils.translation.template import templatize

    for one, singular, plural in IN_TEMPLATE.findall(templatize(source)):
        if one:
            yield ast.literal_eval(one)
        else:
            yield ast.literal_eval(singular), ast.literal_eval(plural)


def _of_python(tree: ast.AST) -> Iterator[Message]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
            continue
        texts = [str(one.value) for one in node.args[:2] if isinstance(one, ast.Constant)]
        if node.func.id in CALLS and isinstance(node.args[0], ast.Constant):
            yield texts[0]
        elif node.func.id in PLURALS:
            yield texts[0], texts[1]
        elif node.func.id in RECORDS:
            yield from _constants(node.args[0])  # the verbs of histories


def _constants(node: ast.AST) -> Iterator[str]:
    branches = [node.body, node.orelse] if isinstance(node, ast.IfExp) else [node]
    yield from (str(one.value) for one in branches if isinstance(one, ast.Constant))


def _of_domains() -> Iterator[str]:
    from inference.drawings import samples
    from inference.media.sanitising import SENTENCES
    from inference.pipeline.domains import FOLDER, load_domain
    from inference.uq.drift import DRIFTED
    from inference.uq.promotion import WHY

    yield from SENTENCES.values()
    yield from DRIFTED.values()
    yield from WHY.values()
    for path in sorted(FOLDER.glob("*.toml")):
        domain = load_domain(path.stem)
        yield from (sample.title for sample in samples(domain.id))
        yield from (domain.title, domain.question)
        for label in domain.labels:
            yield from (label.title, label.plain)


def catalogue_path(language: str) -> Path:
    return ROOT / "locale" / language / "LC_MESSAGES" / "django.po"


def read(language: str) -> Catalog:
    path = catalogue_path(language)
    if not path.exists():
        return Catalog(locale=language)
    with path.open("rb") as file:
        return read_po(file, locale=language)


def updated(language: str) -> Catalog:
    """The catalogue of exactly today's texts, with the translations that there are."""
    known, fresh = read(language), Catalog(locale=language, fuzzy=False, project="ALARM Triage")
    for message in sorted(messages(), key=lambda one: one if isinstance(one, str) else one[0]):
        old = known.get(message if isinstance(message, str) else message[0])
        fresh.add(message, old.string if old else "")
    return fresh


def source(catalogue: Catalog) -> bytes:
    """Without dates and names, so that the same texts make the same file."""
    output = io.BytesIO()
    write_po(output, catalogue, width=100, omit_header=True)
    head = (
        'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n'
        f'"Language: {catalogue.locale}\\n"\n'
        f'"Plural-Forms: nplurals={catalogue.num_plurals}; plural={catalogue.plural_expr};\\n"\n\n'
    )
    return head.encode() + output.getvalue()


def compiled(language: str) -> bytes:
    output, catalogue = io.BytesIO(), read(language)
    catalogue.creation_date = catalogue.revision_date = ANY_DATE
    write_mo(output, catalogue)
    return output.getvalue()


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "alarm_site.settings")
    import django

    django.setup()
    for language in LANGUAGES:
        path, catalogue = catalogue_path(language), updated(language)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source(catalogue))
        path.with_suffix(".mo").write_bytes(compiled(language))
        empty = [one.id for one in catalogue if one.id and not _filled(one.string)]
        print(
            f"{language}: {len(catalogue)} texts, {len(empty)} without translation",
            *empty,
            sep="\n",
        )
    return 0


def _filled(string: str | tuple[str, ...] | list[str] | None) -> bool:
    return all(string) if isinstance(string, tuple | list) else bool(string)


if __name__ == "__main__":
    sys.exit(main())
