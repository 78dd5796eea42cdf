"""Finds what goes past the wall between sites: in the code, and in the SQL of a request.

A tenant row is a row that belongs to a site or hangs from one that does. Which tables those are is
read from the models, so that a new one is watched from its first day.
"""

import ast
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from django.apps import apps
from django.db import connection
from django.db.models import ForeignKey, Model, OneToOneField

from inference.models import Observation
from triage.models import Organisation, Site

ROOT = Path(__file__).resolve().parent.parent
# Where a person's wish arrives: here only `objects.of(site)` is a beginning.
ENTRIES = ("views", "api", "consumers", "forms", "context", "middleware", "templatetags")
BEGINNINGS = frozenset({"of", "none"})
MAKES = frozenset({"create", "bulk_create"})
SHORTCUTS = frozenset({"get_object_or_404", "get_list_or_404"})
OWN = frozenset({"Membership", "OrganisationRole"})
RAW = frozenset({"cursor", "raw", "extra", "RawSQL"})


@cache
def tenant_models() -> dict[str, type[Model]]:
    """All models whose rows hang from a site, or from what was observed at one, by name."""
    found: dict[str, type[Model]] = {"Observation": Observation}
    while True:
        more = {
            model.__name__: model
            for model in apps.get_models()
            if model.__module__.split(".")[0] in ("triage", "inference")
            and model.__name__ not in found
            and model not in (Organisation, Site)
            and any(_is_root(one) or one.__name__ in found for one in _parents(model).values())
        }
        if not more:
            return found
        found |= more


@cache
def keys_of(model: type[Model]) -> frozenset[str]:
    """The fields that say whose a row is: those that lead to a site, or to a row that leads to one.

    A person's own rows at all of their sites (`user`) are what tells which sites are theirs.
    """
    keys = {
        name
        for name, parent in _parents(model, optional=True).items()
        if _is_root(parent) or parent.__name__ in tenant_models()
    }
    return frozenset(keys | ({"user"} if model.__name__ in OWN else set()))


def _parents(model: type[Model], *, optional: bool = False) -> dict[str, type[Model]]:
    """What a row of the model hangs from: a field that may be empty makes it nobody's."""
    return {
        one.name: one.related_model
        for one in model._meta.get_fields()
        if isinstance(one, ForeignKey | OneToOneField) and isinstance(one.related_model, type)
        if optional or not one.null
    }


def _is_root(model: type[Model]) -> bool:
    return model in (Organisation, Site)


# In the code


@dataclass(frozen=True)
class Bypass:
    """A query of tenant rows that does not say whose; `where` is module:function."""

    where: str
    model: str
    line: int


def bypasses(source: str, module: str) -> list[Bypass]:
    """The queries of a module, named by its path, that begin without a site or a parent row.

    What begins at `objects` must say whose rows it asks for in the same expression: in the rooms
    where people's wishes arrive by `of(site)`, below them also by a keyword that leads to a site
    or a parent row, or by the key of a row in hand (`pk=case.pk`, not `pk=pk`).
    """
    tree = ast.parse(source)
    entry = any(part in ENTRIES for part in module.removesuffix(".py").split("/"))
    return [
        Bypass(f"{module}:{_function(tree, node)}", name, node.lineno)
        for name, node, calls in _queries(tree)
        if not (_begins(calls) or (not entry and _is_scoped(name, calls)))
    ]


def _queries(tree: ast.AST) -> Iterator[tuple[str, ast.expr, list[ast.Call]]]:
    """Model, expression and its calls: of all managers, raw SQL, and models given to a shortcut."""
    above = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    named = tenant_models()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in (
            "objects",
            "_default_manager",
            "_base_manager",
        ):
            if (name := _name(node.value)) in named and not _prefetched(node, above):
                yield name, node, list(_chain(node, above))
        elif isinstance(node, ast.Call) and _name(node.func) in RAW:
            yield "SQL", node, []
        elif isinstance(node, ast.Call) and _name(node.func) in SHORTCUTS:
            yield from ((name, node, []) for one in node.args if (name := _name(one)) in named)


def _chain(node: ast.AST, above: dict[ast.AST, ast.AST]) -> Iterator[ast.Call]:
    """The calls that hang on an expression: of `M.objects.a(1).b(2)` both."""
    while isinstance(parent := above.get(node), ast.Attribute | ast.Call):
        if isinstance(parent, ast.Call):
            if parent.func is not node:
                return
            yield parent
        node = parent


def _prefetched(node: ast.AST, above: dict[ast.AST, ast.AST]) -> bool:
    """Whether it is what a Prefetch() asks: Django asks it for the rows in hand alone."""
    while isinstance(node := above[node], ast.Attribute | ast.Call):
        if isinstance(node, ast.Call) and _name(node.func) == "Prefetch":
            return True
    return False


def _begins(calls: list[ast.Call]) -> bool:
    return bool(calls) and _called(calls[0]) in BEGINNINGS | MAKES


def _is_scoped(name: str, calls: list[ast.Call]) -> bool:
    keys = keys_of(tenant_models()[name]) if name in tenant_models() else frozenset()
    return any(
        _leads(keyword, keys)
        for call in calls
        for keyword in (*call.keywords, *_inside(call))
        if _called(call) in {"filter", "get", "get_or_create", "update_or_create", "of"}
    )


def _inside(call: ast.Call) -> Iterator[ast.keyword]:
    """What a Q() that stands alone says; of one beside another (`|`) nothing is believed."""
    for argument in call.args:
        if isinstance(argument, ast.Call) and _name(argument.func) == "Q":
            yield from argument.keywords


def _leads(keyword: ast.keyword, keys: frozenset[str]) -> bool:
    if keyword.arg is None:  # **of(policy): the site and the domain of a version in hand
        return isinstance(keyword.value, ast.Call) and _name(keyword.value.func) == "of"
    first, *rest = keyword.arg.split("__")
    if first in ("pk", "id"):
        return _in_hand(keyword.value)
    return first.removesuffix("_id") in keys and rest[-1:] != ["isnull"]


def _in_hand(value: ast.expr) -> bool:
    """`case.pk`, `lease.case_id`: the key of a row that somebody has let in already."""
    return isinstance(value, ast.Attribute)


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _function(tree: ast.AST, node: ast.expr) -> str:
    around = [
        one.name
        for one in ast.walk(tree)
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
        and one.lineno <= node.lineno <= (one.end_lineno or one.lineno)
    ]
    return around[-1] if around else ""


def sources(*rooms: str) -> Iterator[tuple[str, str]]:
    """Module and source of all that ships in these folders."""
    for room in rooms:
        for path in sorted((ROOT / room).rglob("*.py")):
            if "migrations" not in path.parts:
                yield str(path.relative_to(ROOT)), path.read_text()


# In a request


@dataclass
class Watched:
    """What a request did: statements that name no site, and rows of another site that it read."""

    unscoped: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)


@contextmanager
def watched(site: Site) -> Iterator[Watched]:
    """Look at each statement and each row of tenant tables until the end of the block."""
    seen = Watched()

    def statement(execute: Callable[..., Any], sql: str, params: Any, *rest: Any) -> Any:
        if is_unscoped(sql):
            seen.unscoped.append(sql)
        return execute(sql, params, *rest)

    with ExitStack() as stack:
        stack.enter_context(connection.execute_wrapper(statement))
        for model in tenant_models().values():
            stack.enter_context(_rows_of(model, site, seen))
        yield seen


def is_unscoped(sql: str) -> bool:
    """Whether a statement reads or changes tenant rows and no condition of it says whose."""
    if sql.startswith(("INSERT", "SAVEPOINT", "RELEASE", "ROLLBACK")):
        return False
    named = {model for model in tenant_models().values() if f'"{model._meta.db_table}"' in sql}
    return bool(named) and not any(_condition(model).search(sql) for model in named)


@cache
def _condition(model: type[Model]) -> re.Pattern[str]:
    """Its own key or one of those that lead to a site, held against a value or a list of them."""
    keys = [model._meta.pk, *(model._meta.get_field(name) for name in keys_of(model))]
    columns = "|".join(sorted({str(getattr(key, "column", "")) for key in keys}))
    return re.compile(rf'"\w+"\."({columns})"\)? (= %s|IN \()')


@contextmanager
def _rows_of(model: type[Model], site: Site, seen: Watched) -> Iterator[None]:
    made = model.from_db.__func__  # type: ignore[attr-defined]

    def from_db(cls: type[Model], *args: Any, **kwargs: Any) -> Model:
        row: Model = made(cls, *args, **kwargs)
        said = row.__dict__.get("site_id")
        if said is not None and said != site.pk:
            seen.foreign.append(f"{model.__name__} {row.pk} of site {said}")
        return row

    with patch.object(model, "from_db", classmethod(from_db)):
        yield
