"""Tables of series: stamps, frequencies, repairs by rule, what is refused, and which tables are taken for series."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrolled.datasets.asked import Asked
from unrolled.datasets.grids import carried
from unrolled.datasets.rows import raw_rows
from unrolled.datasets.samples import resolve
from unrolled.datasets.seasons import season_of
from unrolled.datasets.series_columns import SeriesColumns, forecasts
from unrolled.datasets.series_table import SeriesSet, read_series
from unrolled.datasets.series_windows import PARTS, Windows, check_lengths, packed
from unrolled.datasets.stamps import Frequency, inferred, named, parse
from unrolled.errors import UserError

PLAIN = SeriesColumns("time", None, ("value",))
LONG = SeriesColumns("time", "id", ("value",))


def rows(*cells: tuple[Any, ...], names: tuple[str, ...] = ("time", "value")) -> list[dict[str, Any]]:
    return [
        {"origin": f"x.csv:{at}", **dict(zip(names, row, strict=True))} for at, row in enumerate(cells, 2)
    ]


def hourly(count: int, begin: str = "2021-03-01T00:00") -> list[tuple[str, str]]:
    start = datetime.fromisoformat(begin)
    return [((start + timedelta(hours=at)).isoformat(), str(float(at))) for at in range(count)]


@pytest.mark.parametrize(
    ("cell", "day"),
    [
        ("2020-12-31", (2020, 12, 31)), ("2020-12", (2020, 12, 1)), ("2020Q3", (2020, 7, 1)), ("Jan 2020", (2020, 1, 1)),
        ("3 March 2020", (2020, 3, 3)), ("March 3, 2020", (2020, 3, 3)), ("31.12.2020", (2020, 12, 31)),
        ("31/12/2020", (2020, 12, 31)), ("12/31/2020", (2020, 12, 31)), ("2020-Feb-29", (2020, 2, 29)), ("Sep-75",
        (1975, 9, 1)),
    ],
)  # fmt: skip
def test_a_date_is_read_however_it_is_spelt(cell: str, day: tuple[int, int, int]) -> None:
    found = parse(cell)
    assert found.date and datetime(1970, 1, 1) + timedelta(seconds=found.at) == datetime(*day)


@pytest.mark.parametrize("cell", ["3/4/2020", "2020-13-01", "yesterday", "", None, "nan", "Febber 2020"])
def test_what_may_be_two_days_or_none_is_refused(cell: Any) -> None:
    with pytest.raises(ValueError, match=r"no time stamp|two days"):
        parse(cell)


def test_zones_become_one_clock() -> None:
    assert parse("2020-01-01T12:00+02:00").at == parse("2020-01-01T10:00Z").at


@pytest.mark.parametrize(
    ("begin", "step", "words"),
    [("2020-01-01", {"hours": 1}, "hourly"), ("2020-01-01", {"days": 1}, "daily"), ("2020-01-04", {"weeks": 1}, "weekly"),
     ("2020-01-01", {"minutes": 15}, "every 15 minutes")],
)  # fmt: skip
def test_the_frequency_is_found(begin: str, step: dict[str, int], words: str) -> None:
    at = [parse((datetime.fromisoformat(begin) + timedelta(**step) * n).isoformat()).at for n in range(50)]
    assert inferred(np.array(at), dates=True).words == words


@pytest.mark.parametrize(("months", "words"), [(1, "monthly"), (3, "quarterly"), (12, "yearly")])
@pytest.mark.parametrize("day", [1, 15])
def test_months_of_unequal_length_are_one_frequency(months: int, words: str, day: int) -> None:
    at = [parse(f"{2000 + n * months // 12}-{n * months % 12 + 1:02}-{day:02}").at for n in range(30)]
    found = inferred(np.array(at), dates=True)
    assert found.words == words
    assert found.places(np.array(at))[0].tolist() == list(range(30))


def test_the_last_days_of_months_are_monthly() -> None:
    at = [parse(day).at for day in ("2020-01-31", "2020-02-29", "2020-03-31", "2020-04-30", "2020-05-31")]
    found = inferred(np.array(at), dates=True)
    assert found.words == "monthly" and found.places(np.array(at))[0].tolist() == [0, 1, 2, 3, 4]


@given(st.integers(-900, 5000), st.sampled_from(["min", "15min", "h", "D", "W", "M", "Q", "Y", "7"]))
def test_a_step_s_stamp_is_read_as_that_step(place: int, name: str) -> None:
    frequency = named(name, parse("2001-01-01").at if name != "7" else 3.0)
    assert frequency.places(np.array([parse(frequency.stamp(place)).at]))[0].tolist() == [place]
    assert Frequency.from_dict(frequency.to_dict()) == frequency


def test_an_unknown_frequency_names_the_nearest() -> None:
    with pytest.raises(UserError, match="frequency"):
        named("fortnight", 0.0)


def test_rows_out_of_order_and_doubled_are_repaired_and_counted() -> None:
    cells = hourly(30)
    cells[3], cells[4] = cells[4], cells[3]
    found = read_series(rows(*cells, cells[10]), PLAIN)
    assert found.series[0].values[:, 0].tolist() == list(range(30))
    assert any("1 rows repeat" in note for note in found.notes) and any(
        "out of order" in note for note in found.notes
    )


def test_missing_hours_are_missing_values_and_the_one_in_spring_is_told() -> None:
    cells = hourly(24 * 20)
    gone = {"2021-03-14T02:00:00", "2021-03-16T05:00:00"}
    found = read_series(rows(*(cell for cell in cells if cell[0] not in gone)), PLAIN)
    values = found.series[0].values[:, 0]
    assert len(values) == len(cells) and np.flatnonzero(np.isnan(values)).tolist() == [
        13 * 24 + 2,
        15 * 24 + 5,
    ]
    assert any("spring" in note for note in found.notes) and any(
        "1 steps have no row" in note for note in found.notes
    )


def test_an_hour_that_comes_twice_in_autumn_counts_as_its_mean() -> None:
    cells = hourly(24 * 9, "2021-10-25T00:00")
    at = next(n for n, cell in enumerate(cells) if cell[0] == "2021-10-31T01:00:00")
    found = read_series(rows(*cells[: at + 1], (cells[at][0], "1000"), *cells[at + 1 :]), PLAIN)
    assert found.series[0].values[at, 0] == (at + 1000) / 2 and any("autumn" in note for note in found.notes)


def test_a_stamp_between_two_steps_moves_to_the_nearer() -> None:
    cells = [*hourly(40), ("2021-03-02T16:07", "40"), ("2021-03-02T17:00", "41")]
    found = read_series(rows(*cells), PLAIN)
    assert len(found.series[0]) == 42 and any("1 time stamps lie between" in note for note in found.notes)


def refused(
    cells: list[tuple[Any, ...]], columns: SeriesColumns = PLAIN, names: tuple[str, ...] = ("time", "value")
) -> str:
    with pytest.raises(UserError) as caught:
        read_series(rows(*cells, names=names), columns)
    return str(caught.value)


def test_what_is_wrong_names_series_row_and_what_to_do() -> None:
    good = hourly(30)
    assert "x.csv:7" in (said := refused([*good[:5], ("soon", "1"), *good[5:]])) and "time stamp" in said
    assert "x.csv:4" in (said := refused([*good[:2], (good[2][0], "inf"), *good[3:]])) and "finite" in said
    assert (
        "x.csv:4" in (said := refused([*good[:2], (good[2][0], "many"), *good[3:]])) and "no number" in said
    )
    said = refused([*good, (good[3][0], "99")])
    assert "x.csv:32" in said and "x.csv:5" in said and "id=" in said
    assert "zone" in refused([*good[:5], ("2021-03-01T05:00Z", "1")])
    assert "dates" in refused([*good[:5], ("17", "1")])
    odd = [(f"2021-03-01T{n // 3:02}:{(n * 17) % 60:02}", "1") for n in range(30)]
    assert "irregular" in (said := refused(odd)) and "frequency=rows" in said
    named_ = [(t, v, "a") for t, v in good] + [(t, "", "b") for t, _ in good]
    said = refused(named_, LONG, ("time", "value", "id"))
    assert "series 'b'" in said and "no value at all" in said


def test_all_problems_of_a_file_are_told_together() -> None:
    good = hourly(30)
    said = refused([(t, "x" if n % 10 == 3 else v) for n, (t, v) in enumerate(good)])
    assert [line.split(": ")[0] for line in said.splitlines()] == ["x.csv:5", "x.csv:15", "x.csv:25"]


def test_wide_tables_are_a_series_a_column_unless_foretold_together() -> None:
    cells = [(t, v, str(float(n % 3))) for n, (t, v) in enumerate(hourly(30))]
    names = ("time", "a", "b")
    apart = read_series(rows(*cells, names=names), SeriesColumns("time", None, ("a", "b")))
    assert [one.name for one in apart.series] == ["a", "b"] and apart.series[0].values.shape == (30, 1)
    both = read_series(rows(*cells, names=names), SeriesColumns("time", None, ("a",), ("b",), True))
    assert len(both.series) == 1 and both.series[0].values.shape == (30, 2) and both.foretold == 1


def test_series_of_unequal_length_share_one_grid() -> None:
    cells = [(t, v, "a") for t, v in hourly(30)] + [(t, v, "b") for t, v in hourly(10, "2021-03-01T12:00")]
    found = read_series(rows(*cells, names=("time", "value", "id")), LONG)
    assert [(one.name, one.first, len(one)) for one in found.series] == [("a", 0, 30), ("b", 12, 10)]


@given(st.lists(st.one_of(st.none(), st.floats(-5, 5)), min_size=1, max_size=40), st.integers(0, 39))
def test_a_gap_is_filled_from_before_it_alone(values: list[float | None], cut: int) -> None:
    column = np.array([[np.nan if v is None else v] for v in values])
    changed = column.copy()
    changed[cut + 1 :] = 7.0
    assert np.array_equal(carried(column)[: cut + 1], carried(changed)[: cut + 1])
    assert np.isfinite(carried(column)).all()


def series_of(*lengths: int, first: tuple[int, ...] = ()) -> SeriesSet:
    cells = [
        (float(at + begin), float(at), f"s{number}")
        for number, (length, begin) in enumerate(zip(lengths, first or [0] * len(lengths), strict=True))
        for at in range(length)
    ]
    return read_series(rows(*cells, names=("time", "value", "id")), LONG)


@given(
    st.lists(st.tuples(st.integers(30, 120), st.integers(0, 50)), min_size=1, max_size=4), st.integers(1, 9),
    st.integers(1, 5),
    st.integers(1, 3),
)  # fmt: skip
def test_windows_are_what_a_loop_would_find(
    spans: list[tuple[int, int]], lookback: int, horizon: int, stride: int
) -> None:
    found = series_of(*(length for length, _ in spans), first=tuple(begin for _, begin in spans))
    data = packed(found, (0.6, 0.2, 0.2))
    cuts = [int((data.first + data.ends[:, side]).max()) for side in (0, 1)]
    for at, part in enumerate(PARTS):
        begin, end = (-(10**9), *cuts)[at], (*cuts, 10**9)[at]
        expected = []
        for number, one in enumerate(found.series):
            origins = [
                o for o in range(lookback - 1, len(one) - horizon)
                if one.first + o + 1 >= begin and one.first + o + horizon < end
            ]  # fmt: skip
            expected += [(number, o) for o in origins[::stride]]
        windows = Windows(data, lookback, horizon, part, stride)
        assert len(windows) == len(expected)
        if expected:
            series, origin = windows.where(np.arange(len(windows)))
            assert list(zip(series.tolist(), origin.tolist(), strict=True)) == expected


def test_a_series_too_short_is_named() -> None:
    found = series_of(60, 12)
    with pytest.raises(UserError, match=r"series 's1' has 12 steps, fewer than lookback=10 \+ horizon=5"):
        check_lengths(found, packed(found), 10, 5)


def head(data: str) -> list[dict[str, Any]]:
    records: Iterator[dict[str, Any]] = raw_rows(resolve(data))
    return list(islice(records, 3000))


@pytest.mark.parametrize(
    ("data", "time", "targets"),
    [("air_passengers", "month", ("passengers",)), ("co2_weekly", "date", ("co2_ppm",)), ("sunspots", "year",
    ("sunspots",)),
     ("seattle_temps", "time", ("temperature",)), ("flights", "time_s", ("lat", "lon"))],
)  # fmt: skip
def test_shipped_series_are_taken_for_series(data: str, time: str, targets: tuple[str, ...]) -> None:
    found = forecasts(head(data), Asked())
    assert found is not None and (found.time, found.targets) == (time, targets)
    assert found.id == ("id" if data == "flights" else None)


@pytest.mark.parametrize("data", ["digits", "sentiment", "cmudict"])
def test_tables_with_answers_are_not(data: str) -> None:
    assert forecasts(head(data), Asked()) is None


def test_a_time_that_falls_is_no_reason_to_forecast_unless_asked() -> None:
    cells = rows(*reversed(hourly(30)))
    assert forecasts(cells, Asked()) is None
    assert forecasts(cells, Asked(task="forecast")) is not None
    assert forecasts(rows(*hourly(30)), Asked(target="value")) is None
    with pytest.raises(UserError, match="column"):
        forecasts(cells, Asked(task="forecast", target="valu"))


@pytest.mark.parametrize(
    ("data", "season"), [("air_passengers", 12), ("sunspots", 11), ("seattle_temps", 24), ("co2_weekly", 52)]
)
def test_seasons_are_found(data: str, season: int) -> None:
    columns = forecasts(head(data), Asked())
    assert columns is not None
    found = read_series(raw_rows(resolve(data)), columns)
    assert season_of(packed(found), found.frequency)[0] == season


def test_noise_has_no_season() -> None:
    noise = np.random.default_rng(0).normal(size=400)
    found = read_series(rows(*((float(at), float(v)) for at, v in enumerate(noise))), PLAIN)
    assert season_of(packed(found), found.frequency)[0] == 1
