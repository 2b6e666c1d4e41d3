"""The arithmetic behind the benchmark's table: what a ratio is made of, and how sure its median is."""

import sys
from math import comb
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent))

from bench.results import BESIDE, Figure, Results, ScenarioResult, median_interval
from bench.table import Tally
from bench.wrk import figures


def server(**samples):
    """A scenario's result with these CPU times, one for each turn."""
    turns = {name: [ns and {"ns": ns} for ns in figures] for name, figures in samples.items()}
    return ScenarioResult("protocol_echo_64_c1", "server", "message", "other_64_c1", turns)


def test_a_ratio_is_made_within_a_turn():
    # The medians are alike; in each turn ferrio is twice as fast.
    result = server(ferrio=[1.0, 10.0, 5.0], stock=[2.0, 20.0, 10.0])
    assert result.ratio("ferrio", "stock") == Figure(2.0, 0.0, None)


def test_a_turn_that_one_has_not_is_no_ratio_of_the_others():
    result = server(ferrio=[1.0, None, 5.0], stock=[2.0, 7.0, 10.0])
    assert result.ratio("ferrio", "stock").value == 2.0


def test_a_cost_is_how_many_times_as_much():
    result = server(ferrio=[3.0, 6.0], **{BESIDE: [2.0, 4.0]})
    assert result.cost(BESIDE).value == 1.5


def test_a_server_that_was_given_up_has_no_figure():
    result = server(ferrio=[1.0, None], stock=[2.0, 2.0])
    result.missing["ferrio"] = "it fell over"
    assert result.figure("ferrio") is None
    assert result.ratio("ferrio", "stock") is None


@pytest.mark.parametrize(("count", "rank"), [(6, 1), (8, 1), (9, 2), (12, 3), (20, 6), (25, 8)])
def test_the_interval_has_the_ranks_of_the_sign_test(count, rank):
    """The ranks of the usual tables; their coverage is at least 95 %, and that of the next ones is not."""
    values = [float(value) for value in range(count, 0, -1)]
    assert median_interval(values) == (rank, count + 1 - rank)

    def outside(k):
        return 2 * sum(comb(count, below) for below in range(k)) / 2**count

    assert outside(rank) <= 0.05 < outside(rank + 1)


@pytest.mark.parametrize("count", range(1, 6))
def test_five_values_have_no_interval(count):
    assert median_interval([1.0] * count) is None


def test_marks_say_what_noise_cannot_tell():
    tally = Tally()
    close = Figure.of([0.9, 0.95, 0.98, 1.0, 1.02, 1.05])
    clear = Figure.of([1.9, 1.95, 1.98, 2.0, 2.02, 2.05])
    few = Figure.of([0.9, 0.95])
    assert tally.mark(close, 1.0, met=False) == "missed, within noise"
    assert tally.mark(clear, 1.0, met=True) == "met"
    assert tally.mark(few, 1.0, met=False) == "missed"
    assert "1 met (0 within noise), 2 missed (1 within noise). 1 of these" in str(tally)


def test_results_survive_json():
    result = server(ferrio=[3.0, None], **{BESIDE: [2.0, 4.0]})
    results = Results({}, {"ferrio": "0"}, {}, 1, 2, 0.1, [result])
    assert Results.from_json(results.to_json()) == results


WRK = """Running 1s test @ http://127.0.0.1:4321/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.70ms  520.11us   9.17ms   91.05%
    Req/Sec    23.79k   700.00    24.30k    80.00%
  Latency Distribution
     50%    2.57ms
     75%    2.73ms
     90%    3.01ms
     99%    1.25s
  23680 requests in 1.00s, 3.48MB read
Requests/sec:  23669.52
"""


def test_what_wrk_says():
    sample = figures(WRK, cpu=473_600_000, wall=2_000_000_000)
    assert sample == {
        "ns": 20_000,
        "cpu_ns": 20_000,
        "messages_per_second": 11_840,
        "p50_ns": 2.57e6,
        "p99_ns": 1.25e9,
        "operations": 23_680,
    }


@pytest.mark.parametrize(
    "line", ["  Socket errors: connect 0, read 3, write 0, timeout 0", "  Non-2xx or 3xx responses: 12"]
)
def test_what_wrk_complains_of_is_no_figure(line):
    with pytest.raises(RuntimeError, match=line.strip()[:10]):
        figures(f"{WRK}{line}\n", cpu=1, wall=1)


def test_no_answer_is_no_figure():
    with pytest.raises(RuntimeError):
        figures(WRK.replace("23680 requests", "0 requests"), cpu=1, wall=1)
