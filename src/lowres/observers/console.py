"""A run on the console: a progress display on a terminal, plain lines elsewhere, nothing when quiet.

Everything goes to stderr, so that stdout stays free for results.
"""

import atexit
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from lowres.training.events import EpochDone, Event, Finished, Started, Stepped, Stopped

_HEADER_EVERY = 40  # rows of the table, so that a screen always shows what the figures are
_NAME = 5  # letters of "test" or "validation" in the table's head


class Console:
    """Observer that tells a person how the run goes.

    On a terminal, two bars show the run and the epoch under way, and finished epochs stay above them as a
    table. Elsewhere (a file, a pipe, a job's log) each epoch is a line of plain text.

    The display ends with the run. Where the run may end in an exception, use it as a context manager, which
    brings the cursor back in any case.

    Args:
        quiet: Say nothing at all.
        console: Where to print; by default stderr, as a terminal only if it is one.

    Example:
        >>> with Console() as console:  # doctest: +SKIP
        ...     train(recipe, observers=[console])
    """

    def __init__(self, quiet: bool = False, console: RichConsole | None = None) -> None:
        self._quiet = quiet
        # Said outright, for FORCE_COLOR in the environment would make a terminal of a file.
        self._console = console or RichConsole(stderr=True, force_terminal=sys.stderr.isatty())
        self._live = self._console.is_terminal and not self._console.is_dumb_terminal
        self._bars: _Bars | None = None
        self._pace = _Pace(0, 0)
        self._epochs = 0
        self._rows = 0
        self._averages = False

    def __call__(self, event: Event) -> None:
        """Prints what the event tells."""
        if self._quiet:
            return
        match event:
            case Started():
                self._start(event)
            case Stepped():
                self._pace.step(event.epoch, event.step / event.steps_per_epoch)
                if self._bars:
                    self._bars.step(event, self._pace.left())
            case EpochDone():
                self._pace.epoch(event.epoch, event.seconds)
                self._epoch(event)
            case Finished():
                self.close()
                self._finish(event)
            case Stopped():
                self.close()
                self._stop(event)

    def close(self) -> None:
        """Ends the display and brings the cursor back. The end of a run does so by itself."""
        if self._bars:
            atexit.unregister(self.close)
            self._bars.close()
            self._bars = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, event: Started) -> None:
        self.close()
        self._pace = _Pace(event.epochs, event.epoch)
        self._epochs, self._rows, self._averages = event.epochs, 0, False
        goes_on = f", goes on after epoch {event.epoch}" if event.epoch else ""
        folder = f", in {event.run}" if event.run else ""
        self._print(
            (event.name, "bold"),
            f": {event.parameters:,} parameters, {event.images:,} images, "
            f"{event.epochs} epoch{'s' if event.epochs > 1 else ''} of {event.steps_per_epoch} steps{goes_on}{folder}",
        )
        for note in event.notes:
            self._print(("  " + note, "dim"))
        if self._live:
            self._bars = _Bars(self._console, event)
            # A run that ends in an exception nobody tells us of must not leave the terminal without a cursor.
            atexit.register(self.close)

    def _epoch(self, event: EpochDone) -> None:
        if self._bars is None:
            self._print(_sentence(event, self._epochs, self._pace.left()))
            return
        if event.average_accuracy is not None and not self._averages:  # not each epoch has one: a column more
            self._averages, self._rows = True, 0
        if self._rows % _HEADER_EVERY == 0:
            self._print((_header(event, self._averages), "dim"))
        self._rows += 1
        self._print(*_row(event, self._epochs, self._averages))
        self._bars.epoch(event, self._pace.left())

    def _finish(self, event: Finished) -> None:
        self._print(*_verdict(event.result))
        if event.run:
            self._print(f"The run is in {event.run}; next: ", (_evaluate(event.run), "bold"))

    def _stop(self, event: Stopped) -> None:
        epochs = "1 epoch" if event.epoch == 1 else f"{event.epoch} epochs"
        kept = ", all kept" if event.run and event.epoch else ""
        self._print(("Stopped", "bold yellow"), f" after {epochs}{kept}")

    def _print(self, *parts: str | tuple[str, str]) -> None:
        # Text, not markup: names and paths may hold brackets. Soft wrap: paths are copied whole.
        self._console.print(Text.assemble(*parts), soft_wrap=True, highlight=False)


class _Bars:
    """The two bars at the foot of the terminal, redrawn when something is told; no thread of its own."""

    def __init__(self, console: RichConsole, started: Started) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", style="dim", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            console=console,
            auto_refresh=False,
            transient=True,
            expand=True,
            # Somebody's print goes above the bars, unless stdout is led elsewhere: it must arrive there.
            redirect_stdout=sys.stdout.isatty(),
        )
        self._evaluated = ""
        self._run: TaskID = self._progress.add_task("epoch", total=started.epochs, completed=started.epoch, figures="")
        self._epoch: TaskID = self._progress.add_task("step", total=started.steps_per_epoch, figures="")
        self._progress.start()

    def step(self, event: Stepped, left: float | None) -> None:
        figures = (
            f"loss {event.loss:.4f}  {event.accuracy:.2f} %  rate {event.rate:.3g}"
            f"  {event.images_per_second:,.0f} images/s"
        )
        self._progress.update(self._epoch, completed=event.step, figures=figures)
        self._show_run(left)

    def epoch(self, event: EpochDone, left: float | None) -> None:
        if event.accuracy is not None:
            self._evaluated = f"{event.evaluated_on} {event.accuracy:.2f} %"
        if event.average_accuracy is not None:
            self._evaluated += f"  averaged {event.average_accuracy:.2f} %"
        self._progress.update(self._run, completed=event.epoch)
        self._progress.update(self._epoch, completed=0)
        self._show_run(left)

    def close(self) -> None:
        self._progress.stop()

    def _show_run(self, left: float | None) -> None:
        time_left = "" if left is None else f"{_duration(left)} left"
        self._progress.update(self._run, figures="  ".join(filter(None, (self._evaluated, time_left))))
        self._progress.refresh()


class _Pace:
    """How long the run will take yet, from the mean of its finished epochs and the one under way."""

    def __init__(self, epochs: int, done: int) -> None:
        self._epochs = epochs
        self._done: float = done  # epochs, with the part of the one under way
        self._first = done
        self._seconds = 0.0  # of the epochs that were finished since the start
        self._spent = 0.0  # in the epoch under way
        self._begun = time.monotonic()

    def step(self, epoch: int, part: float) -> None:
        self._done = epoch - 1 + part
        self._spent = time.monotonic() - self._begun

    def epoch(self, epoch: int, seconds: float) -> None:
        self._done = epoch
        self._seconds += seconds
        self._spent = 0.0
        self._begun = time.monotonic()

    def left(self) -> float | None:
        """Seconds, or None before anything is known."""
        made = self._done - self._first
        return (self._seconds + self._spent) / made * (self._epochs - self._done) if made > 0 else None


def _header(event: EpochDone, averages: bool) -> str:
    """The table's head; with `_row`, it fits 80 columns."""
    name = event.evaluated_on[:_NAME]
    averaged = f"  {'average %':>9}" if averages else ""
    return (
        f"{'epoch':>7}  {'train loss':>10}  {'train %':>7}  {name + ' loss':>9}  {name + ' %':>6}{averaged}"
        f"  {'rate':>8}  {'seconds':>7}"
    )


def _row(event: EpochDone, epochs: int, averages: bool) -> tuple[str | tuple[str, str], ...]:
    name = event.evaluated_on[:_NAME]
    loss = "" if event.loss is None else f"{event.loss:.4f}"
    accuracy = "" if event.accuracy is None else f"{event.accuracy:.2f}"
    average = "" if event.average_accuracy is None else f"{event.average_accuracy:.2f}"
    averaged = f"  {average:>9}" if averages else ""
    return (
        f"{f'{event.epoch}/{epochs}':>7}  ",
        (f"{event.train_loss:>10.4f}  {event.train_accuracy:>7.2f}", "dim"),
        f"  {loss:>{max(9, len(name) + 5)}}  ",
        (f"{accuracy:>{max(6, len(name) + 2)}}{averaged}", "bold cyan"),
        (f"  {event.rate:>8.3g}  {event.seconds:>7.1f}", "dim"),
    )


def _sentence(event: EpochDone, epochs: int, left: float | None) -> str:
    """An epoch as a line that says itself what its figures are."""
    parts = [
        f"epoch {event.epoch}/{epochs}",
        f"train loss {event.train_loss:.4f}, {event.train_accuracy:.2f} %",
    ]
    if event.accuracy is not None and event.loss is not None:
        parts.append(f"{event.evaluated_on} loss {event.loss:.4f}, {event.accuracy:.2f} %")
    if event.average_accuracy is not None and event.average_loss is not None:
        parts.append(f"averaged loss {event.average_loss:.4f}, {event.average_accuracy:.2f} %")
    parts += [f"rate {event.rate:.3g}", f"{event.images_per_second:,.0f} images/s", _duration(event.seconds)]
    if left and event.epoch < epochs:
        parts.append(f"{_duration(left)} left")
    return "; ".join(parts)


def _verdict(result: dict[str, Any]) -> tuple[str | tuple[str, str], ...]:
    """The final figures, as many as there are."""
    if result.get("accuracy") is None:
        return (("Finished", "bold green"), ".")
    text = f" on {result['evaluated_on']} images" if "evaluated_on" in result else ""
    if result.get("tta", "none") != "none":
        text += f" with test-time augmentation ({result['tta']}; {result['accuracy_without_tta']:.2f} % without)"
    if result.get("interval"):
        low, high = result["interval"]
        text += f" (95 % interval {low:.2f} to {high:.2f} %)"
    if "errors" in result:
        text += f", {result['errors']:,} errors"
    if result.get("loss") is not None:
        text += f", loss {result['loss']:.4f}"
    if "seconds" in result:
        text += f", after {_duration(result['seconds'])}"
    return (("Finished", "bold green"), ": accuracy ", (f"{result['accuracy']:.2f} %", "bold cyan"), text)


def _evaluate(run: Path) -> str:
    return f'lowres evaluate "{run}"' if " " in str(run) else f"lowres evaluate {run}"


def _duration(seconds: float) -> str:
    """Seconds as a person says it: 8.4 s, 41 s, 2 min 05 s, 3 h 07 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
