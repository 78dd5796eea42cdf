"""What members' texts say that the others' do not: the phrases in which they disagree."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

WORD = re.compile(r"\w+(?:['-]\w+)*")
# Words that say nothing of a picture by themselves; negations are not among them.
SILENT = frozenset(
    """
    a about above after all also an and any appear appears are as at be because been both but by
    can could does each few for from had has have he her here his i if in into is it its just like
    likely may more most much of on only onto or other our out over rather seem seems she should
    show shows since so some such than that the their them then there these they this those though
    through to too toward under up upon very was we were what when where which while who whose
    will with within would you your
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True)
class Part:
    """A piece of a text; `alone` where those who disagree with its speaker do not say it."""

    text: str
    alone: bool


def marked(texts: Sequence[str], labels: Sequence[str]) -> list[tuple[Part, ...]]:
    """Each text in parts whose words together are the text again.

    Where the speakers' labels differ, a text is held against those of the other labels; where they
    agree, against all others. A single text is held against nothing.

    Args:
        texts: what n speakers say of one thing; "" where one said nothing.
        labels: (n,) what each decided for, "" where unknown.
    """
    said = [_words(text) for text in texts]
    rows = []
    for index, text in enumerate(texts):
        others = _others(index, texts, labels)
        known = {word for other in others for word in said[other]}
        rows.append(_parts(text, known) if others else (Part(text, False),))
    return rows


def _others(index: int, texts: Sequence[str], labels: Sequence[str]) -> list[int]:
    speaking = [other for other, text in enumerate(texts) if other != index and text]
    opposed = [other for other in speaking if labels[other] and labels[other] != labels[index]]
    return opposed if labels[index] and opposed else speaking


def _words(text: str) -> set[str]:
    return {_stem(word) for word in WORD.findall(text)}


def _stem(word: str) -> str:
    """Good enough to take "wounds" and "wound" for one word."""
    lower = word.lower()
    return lower.removesuffix("s") if len(lower) > 3 else lower


def _parts(text: str, known: set[str]) -> tuple[Part, ...]:
    """Neighbouring words that stand alone make one part, with the silent words between them."""
    spans: list[tuple[int, int]] = []
    joined = False
    for match in WORD.finditer(text):
        word = match.group()
        if word.lower() in SILENT or len(word) < 2:
            continue
        alone = _stem(word) not in known
        if alone and joined and WORD.sub("", text[spans[-1][1] : match.start()]).isspace():
            spans[-1] = (spans[-1][0], match.end())
        elif alone:
            spans.append(match.span())
        joined = alone
    return tuple(_cut(text, spans))


def _cut(text: str, spans: list[tuple[int, int]]) -> list[Part]:
    parts, end = [], 0
    for start, stop in spans:
        parts += [Part(text[end:start], False), Part(text[start:stop], True)]
        end = stop
    parts.append(Part(text[end:], False))
    return [part for part in parts if part.text]
