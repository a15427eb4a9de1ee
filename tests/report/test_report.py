"""Numbers in words; bars."""

from wsekern.report.comparison import bar
from wsekern.report.words import amount, seconds, size


def test_numbers_in_words():
    assert [seconds(value) for value in (2.5, 2.5e-3, 2.5e-6, 2.5e-9, 0.0)] == ["2.5 s", "2.5 ms", "2.5 us", "2.5 ns", "0 ns"]
    assert [amount(value) for value in (12345.6, 12.34, 0.01234)] == ["12,346", "12.3", "0.0123"]
    assert [size(value) for value in (4.4e10, 5e6, 999)] == ["44 GB", "5 MB", "999 B"]


def test_bars_are_as_long_as_their_share():
    assert [len(bar(share, 8)) for share in (0, 0.5, 1)] == [0, 4, 8]
