"""The parts of the benchmarks that decide what a reader believes: options, statistics, accounting, report."""

from __future__ import annotations

import io
import json
import pathlib
import xml.etree.ElementTree as ET

import pytest
from rich.console import Console

from benchmarks import accounting, options, plot, report, stats, tap
from benchmarks.accounting import Tally, tally
from benchmarks.measurement import Contender, Measurement, ratio
from eventalarm.trial.own_cloud.load import workload
from eventalarm.trial.own_cloud.load.workload import Hit

GOOD = Tally(2, 2, 0, 0, 0, 2)


def measured(contender: Contender, *samples: float, **fields: object) -> Measurement:
    values = {"case": "a case", "metric": "rate", "unit": "events/s", "more_is_better": True, **fields}
    return Measurement("throughput", contender=contender, samples=samples, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["storm"], {"scenarios": ("storm",), "repeats": 3, "stock": True, "stock_seconds": 60.0}),
        (["storm", "match", "storm"], {"scenarios": ("storm", "match")}),
        (["match", "all"], {"scenarios": options.SCENARIOS}),
        (["storm", "--quick"], {"repeats": 1, "stock_seconds": 5.0}),
        (["storm", "--quick", "--repeats", "2"], {"repeats": 2}),
        (["storm", "--no-stock", "--workers", "2"], {"stock": False, "workers": 2}),
        (["storm", "--database", "postgresql"], {"database": "postgresql"}),
        (["storm", "--db-rtt", "0,0.5,1"], {"db_rtt": (0.0, 0.5, 1.0)}),
    ],
)
def test_options(argv: list[str], expected: dict[str, object]) -> None:
    found = options.parse(argv)
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["sorm"],
        ["storm", "--repeats", "0"],
        ["storm", "--database", "sqlite"],
        ["storm", "--db-rtt", "-1"],
        ["storm", "--db-rtt", "near"],
    ],
)
def test_invalid_options_are_refused(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as failed:
        options.parse(argv)
    assert failed.value.code == 2


@pytest.mark.parametrize(
    ("share", "expected"), [(50, 50), (90, 90), (99, 99), (99.5, 100), (100, 100), (0.1, 1)]
)
def test_percentiles_are_values_that_occurred(share: float, expected: float) -> None:
    assert stats.percentile(list(range(100, 0, -1)), share) == expected


def test_percentile_of_little() -> None:
    assert stats.percentile([7.0], 99) == 7.0
    with pytest.raises(ValueError, match="0 values"):
        stats.percentile([], 50)


def test_summary_is_the_median_with_its_spread() -> None:
    assert stats.summarise([9.0, 1.0, 2.0]) == stats.Summary(2.0, 1.0, 9.0, 3)
    with pytest.raises(ValueError, match="no samples"):
        stats.summarise([])


OWED = [("a", "1"), ("b", "2")]


@pytest.mark.parametrize(
    ("received", "transitions", "expected", "right"),
    [
        (OWED, 2, GOOD, True),
        (OWED, None, Tally(2, 2, 0, 0, 0, None), True),
        (OWED, 1, Tally(2, 2, 0, 0, 0, 1), False),
        (OWED[:1], 2, Tally(2, 1, 0, 1, 0, 2), False),
        ([*OWED, *OWED[:1]], 2, Tally(2, 3, 1, 0, 0, 2), False),
        ([OWED[0], OWED[0]], 2, Tally(2, 2, 1, 1, 0, 2), False),
        ([*OWED, ("a", "2")], 2, Tally(2, 3, 0, 0, 1, 2), False),
        ([], 0, Tally(2, 0, 0, 2, 0, 0), False),
    ],
)
def test_accounting(received: list[Hit], transitions: int | None, expected: Tally, right: bool) -> None:
    found = tally(OWED, received, transitions)
    assert found == expected
    assert found.right is right


def test_one_wrong_repeat_makes_the_sum_wrong() -> None:
    whole = accounting.add([GOOD, Tally(2, 1, 0, 1, 0, 1), GOOD])
    assert whole == Tally(6, 5, 0, 1, 0, 5)
    assert not whole.right
    assert accounting.add([]) is None


def test_ratio_needs_both_figures() -> None:
    ours, floor = measured(Contender.EVENTALARM, 2, 4, 3), measured(Contender.FLOOR, 6)
    assert ratio(ours, floor) == 0.5
    assert ratio(ours, None) is None
    assert ratio(ours, measured(Contender.STOCK)) is None
    assert ratio(ours, measured(Contender.STOCK, 0)) is None


def shown(*measurements: Measurement) -> str:
    console = Console(file=io.StringIO(), width=report.WIDTH)
    report.show(measurements, console)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_the_table_sets_eventalarm_beside_floor_and_stock() -> None:
    text = shown(
        measured(Contender.FLOOR, 6000, 5900, 6100),
        measured(Contender.EVENTALARM, 5400, tally=GOOD),
        measured(Contender.STOCK, 2.0, cut="stopped after 60 s"),
    )
    assert all(part in text for part in ("6,000 (5,900–6,100)", "5,400", "≤ 2.00", "stopped after 60 s"))
    assert all(part in text for part in ("0.90 ×", "2,700 ×", " ok "))
    assert "FAILED" not in text


@pytest.mark.parametrize(
    "ours",
    [
        measured(Contender.EVENTALARM, 9e9, tally=Tally(2, 1, 0, 1, 0, 2)),
        measured(Contender.EVENTALARM, 9e9, tally=Tally(2, 2, 0, 0, 0, 1)),
        measured(Contender.EVENTALARM, 9e9, tally=GOOD, cut="stopped after 600 s"),
    ],
)
def test_a_fast_contender_that_loses_fails(ours: Measurement) -> None:
    text = shown(measured(Contender.FLOOR, 6000), ours)
    assert "FAILED throughput: a case: eventalarm" in text
    assert len(report.failures([ours])) == 1


def test_losses_of_stock_aodh_are_shown_only() -> None:
    stock = measured(Contender.STOCK, 3, tally=Tally(2, 3, 1, 0, 0))
    assert "WRONG: 3 of 2, 1 doubled" in shown(stock)
    assert report.failures([stock]) == []


def test_results_are_written_as_json_and_text(tmp_path: pathlib.Path) -> None:
    ours = measured(Contender.EVENTALARM, 5, 7, 6, tally=GOOD, size=10)
    report.write([ours], tmp_path / "new", {"cores": 2}, {"seed": 1})
    document = json.loads((tmp_path / "new" / "results.json").read_text())
    (one,) = document["measurements"]
    assert (one["median"], one["least"], one["most"], one["wrong"]) == (6, 5, 7, False)
    assert (one["contender"], one["tally"]["expected"], one["size"]) == ("eventalarm", 2, 10)
    assert document["environment"] == {"cores": 2}
    assert "a case" in (tmp_path / "new" / "table.txt").read_text()


def test_plot_shows_the_cost_of_an_event_by_number_of_alarms(tmp_path: pathlib.Path) -> None:
    points = [
        measured(Contender.EVENTALARM, rate, size=size, curve="1 project")
        for size, rate in ((1000, 4000), (10, 5000))
    ]
    assert plot.curves(points) == {(Contender.EVENTALARM, "1 project"): [(10, 200.0), (1000, 250.0)]}
    assert plot.curves([measured(Contender.STOCK, size=10, curve="x")]) == {}
    assert plot.available()
    path = plot.draw("throughput", points, tmp_path)
    assert path is not None
    assert ET.parse(path).getroot().tag.endswith("svg")


def test_plot_shows_times_by_the_distance_to_the_database(tmp_path: pathlib.Path) -> None:
    points = [
        measured(
            Contender.EVENTALARM, *samples, distance=distance, curve="100 events/s", metric="p50", unit="ms"
        )
        for distance, samples in ((1.0, (7, 8, 9)), (0.0, (4,)))
    ]
    assert plot.distances(points) == {"100 events/s: p50, ms": [(0.0, 4.0), (1.0, 8.0)]}
    assert plot.distances([measured(Contender.FLOOR, 1, distance=1.0)]) == {}
    path = plot.draw_distances("latency", [*points], tmp_path)
    assert path is None
    path = plot.draw_distances("throughput", points, tmp_path)
    assert path is not None
    assert ET.parse(path).getroot().tag.endswith("svg")


def test_the_workload_is_the_same_each_time_and_fires_what_it_says() -> None:
    projects = ["p1", "p2", "p3"]
    events = workload.stream(projects, 50, 1000, 0.1, seed=1, run="a")
    assert events == workload.stream(projects, 50, 1000, 0.1, seed=1, run="a")
    assert events != workload.stream(projects, 50, 1000, 0.1, seed=2, run="a")
    watched = {(one.project, one.resource) for one in workload.spread(projects, 50)}
    firing = [e for e in events if (e.project, e.resource) in watched and e.state == workload.FAULT]
    assert firing == [e for e in events if e.fires]
    assert len(firing) == 100
    assert 300 < sum((e.project, e.resource) in watched for e in events if not e.fires) < 600


def test_acknowledgements_are_counted_by_the_message(tmp_path: pathlib.Path) -> None:
    assert tap.read(tmp_path) == tap.Acks()
    counter = tap.Counter(tmp_path)
    counter.add(1, 1, multiple=False)
    counter.add(1, 2, multiple=False)
    counter.add(2, 50, multiple=True)
    counter.add(1, 10, multiple=True)
    counter.add(2, 60, multiple=True)
    # Held back by an earlier message, which is then acknowledged with two that follow.
    counter.add(2, 63, multiple=False)
    counter.add(2, 65, multiple=False)
    counter.add(2, 64, multiple=True)
    found = tap.read(tmp_path)
    assert found.count == 75
    assert 0 < found.first <= found.last


def test_an_overtaken_event_owes_no_webhook() -> None:
    """What is late without a later event of the same alarm is a loss, and stays one."""
    owed = [("a", "1"), ("b", "1"), ("a", "2"), ("b", "2")]
    late = [("a", "1"), ("b", "2"), ("c", "1")]
    assert accounting.overtaken(owed, late) == {("a", "1")}
