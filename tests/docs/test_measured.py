"""The page of measurements, and the README's table and picture, are what the runs say."""

import re

import pytest
from built_pages import ROOT, bars, figures, front

from bench.keep import keep, kept_runs
from bench.results import BESIDE, Results, ScenarioResult

TURNS = 12


def scenario(name, kind="in-process", per="call", **figures):
    """A scenario in which each implementation took these nanoseconds, with a tenth more or less in other turns."""
    samples = {
        column: [
            {"ns": ns * (1 + (turn % 3 - 1) / 10), "messages_per_second": 1e9 / ns} for turn in range(TURNS)
        ]
        for column, ns in figures.items()
    }
    return ScenarioResult(name, kind, per, samples=samples)


def a_run(*scenarios, date="2026-01-02T03:04:05+00:00", python="3.13.0", **changed):
    names = dict.fromkeys(("stock", "uvloop", "rloop", "ferrio"), "1.0")
    environment = {"date": date, "python": python, "system": "Linux", "cpu": "a CPU", "cpus": 2}
    environment["load_average_at_start"] = 0.5
    run = Results(environment, names, {}, rounds=5, slices=4, budget=0.4, scenarios=list(scenarios))
    for name, value in changed.items():
        setattr(run, name, value)
    return run


@pytest.fixture
def runs():
    """A run of its own, and a newer one of servers in which uvloop leads in one row."""
    core = a_run(
        scenario("call_soon_chain", stock=1000.0, uvloop=500.0, rloop=250.0, ferrio=100.0),
        scenario("queue_handoff", per="item", stock=6000.0, uvloop=4000.0, rloop=3000.0, ferrio=500.0),
    )
    echo = scenario(
        "protocol_echo_64_c64", "server", "message", stock=20e3, uvloop=12e3, ferrio=10e3, epoll=9e3
    )
    bulk = scenario("protocol_bulk_in_64k_c1", "server", "message", stock=50e3, uvloop=20e3, ferrio=40e3)
    for loaded in (echo, bulk):
        loaded.missing["rloop"] = "it has no such server"
    net = a_run(echo, bulk, date="2026-01-03T03:04:05+00:00", rounds=3, slices=6)
    return {"net-3.13": net, "3.13": core}


def rows_below(heading, text):
    """The cells of the first table below a heading."""
    part = text[text.index(heading) :]
    table = re.search(r"(?:^\|.*\n)+", part, re.MULTILINE)[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_a_table_has_each_figure_and_ratio(runs):
    head, _, row = rows_below("### Callbacks, tasks, timers", figures.page(runs))
    assert head == ["", "per", "stock", "uvloop", "rloop", "ferrio", "vs stock", "vs uvloop", "vs rloop"]
    assert row[:2] == ["call soon chain", "call"]
    assert [cell.partition(" ±")[0] for cell in row[2:6]] == ["1000 ns", "500 ns", "250 ns", "100 ns"]
    assert row[6:] == ["10.0×", "5.00×", "2.50×"]


def test_a_table_of_servers_has_the_bare_server_and_leaves_out_what_was_not_measured(runs):
    head, _, row = rows_below("### Protocols (server CPU)", figures.page(runs))
    assert head[6] == "epoll"
    assert row[0] == "protocol echo, 64 B, 64 connections"
    assert row[4] == row[9] == ""
    assert "- protocol echo, 64 B, 64 connections, rloop: it has no such server" in figures.page(runs)


def test_what_leads_before_ferrio_is_listed(runs):
    head, _, *rows = rows_below("## Where ferrio does not lead", figures.page(runs))
    assert [dict(zip(head, row, strict=True)) for row in rows] == [
        {
            "row": "protocol bulk in, 64 KiB, 1 connection",
            "Python, date": "3.13.0, 2026-01-03".replace("-", figures.NO_BREAK),
            "faster": "uvloop",
            "its figure": "20.0 µs ±10%",
            "ferrio": "40.0 µs ±10%",
            "ratio": "0.50×",
            "sure": "yes",
        }
    ]


def test_what_the_figures_do_not_show_is_said(runs):
    close = scenario("sleep0", stock=200.0, uvloop=99.9, ferrio=100.0)
    for turn, sample in enumerate(close.samples["uvloop"]):
        sample["ns"] *= 1.02 if turn % 2 else 0.97
    runs["3.13"].scenarios.append(close)
    _, _, *rows = rows_below("## Where ferrio does not lead", figures.page(runs))
    assert rows[-1][0] == "sleep0" and rows[-1][-1] == "cannot be told apart"


def test_where_nothing_leads_the_page_says_so(runs):
    runs["net-3.13"].scenarios.pop()
    assert "In none of the 3 rows below was anything faster" in figures.page(runs)


def test_without_a_run_the_page_says_so():
    assert "No run is kept" in figures.page({})


@pytest.mark.parametrize(
    ("changed", "command"),
    [
        ({}, "make PYTHON=python3.13 bench"),
        ({"rounds": 3}, 'make PYTHON=python3.13 BENCH="--rounds 3" bench'),
        ({"rounds": 3, "slices": 2, "budget": 0.1}, 'make PYTHON=python3.13 BENCH="--quick" bench'),
    ],
)
def test_a_run_says_how_it_is_repeated(runs, changed, command):
    run = runs["3.13"]
    for name, value in changed.items():
        setattr(run, name, value)
    assert figures.command(run) == command
    assert command in figures.page({"3.13": run})


def test_runs_of_servers_have_commands_of_their_own(runs):
    assert figures.command(runs["net-3.13"]).endswith(' BENCH="--rounds 3 --slices 6" bench-net')
    tls = a_run(scenario("tls_protocol_echo_64_c1", "server", stock=2.0, ferrio=1.0))
    assert figures.command(tls).endswith(" bench-tls")


def test_a_bar_is_as_long_as_its_ratio():
    rows = [bars.Row("row", [bars.Bar("uvloop", 2.0), bars.Bar("rloop", 0.5), bars.Bar("ferrio", 8.0, 0.1)])]
    drawing = bars.draw(rows, label="bars")
    bar = r'<rect x="([\d.]+)" y="\S+" width="([\d.]+)" height="8" fill="(\S+?)"'
    found = {colour: (float(x), float(width)) for x, width, colour in re.findall(bar, drawing)}
    one = float(re.search(r'class="one" d="M([\d.]+)', drawing)[1])
    (left, longer), (start, shorter), (_, longest) = (found[bars.COLOURS[bar.name]] for bar in rows[0].bars)
    assert left == pytest.approx(one, abs=0.2)
    assert start + shorter == pytest.approx(one, abs=0.2)
    # On a logarithmic scale twice and half are equally far from one, and eight times thrice as far.
    assert longer == pytest.approx(shorter, abs=0.2) and longest == pytest.approx(3 * longer, abs=0.3)
    assert "8.0×" in drawing and "0.50×" in drawing


def test_what_is_kept_has_the_same_figures(runs, tmp_path):
    run = runs["net-3.13"]
    run.scenarios[0].samples[BESIDE] = [None] * TURNS
    run.scenarios[0].samples["ferrio"][0]["p99_ns"] = 1.0
    whole = tmp_path / "whole.json"
    whole.write_text(run.to_json())
    kept = keep(whole, tmp_path / "kept")
    assert kept.name == whole.name and "p99_ns" not in kept.read_text()
    (again,) = kept_runs(tmp_path / "kept").values()
    assert figures.page({"a": again}) == figures.page({"a": run})
    assert again.environment == run.environment


def test_kept_runs_are_in_order_of_date(runs, tmp_path):
    for name, run in runs.items():
        (tmp_path / f"{name}.json").write_text(run.to_json())
    assert list(kept_runs(tmp_path)) == ["net-3.13", "3.13"]


def test_the_readme_gets_the_newest_figures_of_its_python(runs, tmp_path):
    other = a_run(scenario("queue_handoff", stock=9.0, ferrio=1.0), python="3.14.1", date="2027-01-01T00:00")
    found = front.rows_of({"3.14": other, **runs})
    assert list(found) == ["call_soon_chain", "queue_handoff", "protocol_echo_64_c64"]
    text = front.table(found)
    assert "| `call_soon` | 1000 ns | 500 ns | 250 ns | 100 ns | 10.0× | 5.00× |" in text
    assert "| protocol server, 64 B | 20.0 µs | 12.0 µs |  | 10.0 µs | 2.00× | 1.20× |" in text
    assert "2026-01-02 03:04 UTC (`make PYTHON=python3.13 bench`)" in text
    assert front.picture(found).count('class="ferrio"') == 3


def test_the_readme_has_one_place_for_its_table(runs):
    readme = (ROOT / "README.md").read_text()
    again = front.with_table(readme, front.rows_of(runs))
    assert again.count("call_soon") == 1 and again.startswith(readme[:200]) and again.endswith(readme[-200:])


def test_the_readme_is_what_the_kept_runs_say():
    found = front.rows_of(kept_runs())
    if not found:
        pytest.skip("no run in bench/results/kept has a row of the README's")
    readme = (ROOT / "README.md").read_text()
    assert front.with_table(readme, found) == readme, "`make figures` writes the README's table"
    assert front.picture(found) == front.PICTURE.read_text(), "`make figures` writes docs/speed.svg"


def test_the_rows_of_the_readme_are_scenarios():
    measured = {name.removesuffix("_c64") for name in front.ROWS}
    described = figures.described() | {"import_time": ""}
    assert [name for name in measured if re.sub(r"_(64|1k)$", "", name) not in described] == []
