import pytest

from lowres.errors import UserError
from lowres.ladder.duration import seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("2h", 7200), ("1h30m", 5400), ("0.5h", 1800), (" 2 h ", 7200), (12, 12), (1.5, 1.5)],
)
def test_times_as_people_write_them(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "2 hours", "-2h", "2h now", "0s", 0, -1, float("inf"), float("nan")])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(UserError, match="the time"):
        seconds_of(text)
