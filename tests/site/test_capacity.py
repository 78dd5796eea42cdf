"""The capacity model says what the measurements say, and no more."""

import re
from dataclasses import replace

import pytest

from benchmarks.capacity import COST, MESSAGES, Load, plan, stage, table, throughput
from tests.test_docs import ROOT

SCALING = (ROOT / "docs/scaling.md").read_text()


def numbers(row: str) -> list[float]:
    """The numbers in a row of a table of docs/scaling.md, from its second cell on."""
    [line] = [line for line in SCALING.splitlines() if line.startswith(f"| {row} |")]
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", line.split("|", 2)[2])]


@pytest.mark.parametrize(
    ("cost_row", "rate_row"),
    [
        ("next + submit by the API: server CPU", "8 reviewers without think time, by the API"),
        (
            "next + submit by the pages (answer, redirect, whole next page): server CPU",
            "8 reviewers by the pages",
        ),
    ],
)
def test_it_foresees_what_was_measured_on_two_cores(cost_row: str, rate_row: str) -> None:
    """Within a factor of 1.5, for SQLite and PostgreSQL, by the API and by the pages."""
    costs, measured = numbers(cost_row)[:2], numbers(rate_row)
    foreseen = throughput(sum(costs) / 2000, cores=2)
    fast, slow = max(measured[:2] + measured[2:4]), min(measured[:2])
    assert foreseen <= 1.5 * fast and foreseen >= slow / 1.5


def test_the_costs_are_those_of_the_page() -> None:
    told = {
        "intake": COST.intake,
        "lone": COST.lone,
        "batched": COST.batched,
        "review": COST.review,
        "message": COST.message,
        "sweep": COST.sweep,
    }
    rows = re.findall(r"^\| (\w+) \| .*? \| ([\d.]+) ms \|", SCALING, re.MULTILINE)
    assert {name: float(ms) for name, ms in rows} == pytest.approx(
        {name: seconds * 1000 for name, seconds in told.items()}, rel=0.01
    )


def test_twice_the_cases_need_twice_the_web() -> None:
    one, two = plan(Load(1000)), plan(Load(2000))
    assert two.web == pytest.approx(2 * one.web)
    assert two.sockets == pytest.approx(2 * one.sockets)
    assert two.disk_gb_a_year == pytest.approx(2 * one.disk_gb_a_year)
    assert plan(Load(1000), speed=2).web == pytest.approx(one.web / 2)


def test_by_hand() -> None:
    """28,800 cases, an eighth of them in one hour: one a second."""
    found = plan(Load(28_800, pages=2, seen=0.5))
    assert found.web == pytest.approx(COST.intake + 0.5 * COST.review)
    assert found.sockets == pytest.approx(2 * MESSAGES * COST.message)
    assert COST.batched <= found.workers <= COST.lone


def test_what_comes_alone_is_no_cheaper_than_a_batch() -> None:
    """Few are asked about one by one; where many wait, a case costs what one of a batch does."""
    few, many = plan(Load(100)), plan(Load(10_000_000))
    assert few.workers == pytest.approx(Load(100).per_second * COST.lone)
    assert many.workers == pytest.approx(Load(10_000_000).per_second * COST.batched)


def test_the_stages_follow_each_other() -> None:
    found = [stage(plan(Load(cases)), 8) for cases in (100, 20_000, 100_000, 500_000)]
    assert len(set(found)) == 4
    assert found[0] == "one machine, ./run"
    for one in set(found):
        assert one in SCALING, "a row of the page"


def test_the_table_has_a_row_a_load() -> None:
    lines = table([Load(200), replace(Load(200), cases=400)], cores=8, speed=1)
    assert [line.split()[0] for line in lines] == ["cases/day", "200", "400"]
