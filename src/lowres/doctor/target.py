"""What the command line is given: a script, a notebook, a network or a log."""

from collections.abc import Sequence
from pathlib import Path

from lowres.doctor.logs import examine_log
from lowres.doctor.report import Report
from lowres.doctor.script import examine_script
from lowres.doctor.single import examine_network
from lowres.errors import UserError


def examine_target(
    target: str,
    arguments: Sequence[str] = (),
    *,
    data_dir: Path | None = None,
    image_size: int = 32,
    classes: int = 10,
    sheet: Path | None = None,
    seconds: float = 60.0,
    memory: float = 12.0,
) -> Report:
    """Examines whatever a word names; see `examine_script`, `examine_network` and `examine_log`.

    Raises:
        UserError: There is nothing of that name, or it is of no kind that can be examined.
    """
    if not target:
        raise UserError(
            "name a script, a network (torchvision:resnet50) or a log (history.csv); `lowres doctor --help`"
        )
    path = Path(target).expanduser()
    if path.suffix in (".csv", ".jsonl"):
        return examine_log(path, classes)
    if path.is_dir() and (path / "history.jsonl").is_file():
        return examine_log(path / "history.jsonl", classes)
    if ":" in target and not path.exists():
        return examine_network(target, image_size=image_size, classes=classes)
    return examine_script(path, arguments, data_dir=data_dir, seconds=seconds, memory=memory, sheet=sheet)
