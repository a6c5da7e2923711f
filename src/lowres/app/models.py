"""`lowres models`: the networks there are, and the layers of one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import tyro
from rich.table import Table

from lowres.app.command import console, parse, print_json
from lowres.errors import UserError, unknown
from lowres.models import Published, Summary, create_model, list_models, model_info, summarise
from lowres.models.imagenet import imagenet_name
from lowres.recipes import Option


@dataclass(frozen=True)
class Models:
    """The networks there are, with parameters and multiply-adds; or the layer table of one.

        lowres models "se*"
        lowres models resnet20 --model-options shortcut=B

    Attributes:
        pattern: A glob, or the name of one network.
        image_size: Side of the images in pixels that multiply-adds are counted for.
        classes: Outputs.
        model_options: Options of the one network, such as shortcut=B.
        json: Print JSON.
    """

    pattern: tyro.conf.Positional[str] = "*"
    image_size: int = 32
    classes: int = 10
    model_options: dict[str, Option] = field(default_factory=dict)
    json: bool = False


def run(words: Sequence[str]) -> int:
    """Lists; see `Models`."""
    asked = parse(Models, words, "models")
    if asked.image_size < 1:
        raise UserError(f"--image-size is {asked.image_size}, but must be at least 1")
    names = list_models(asked.pattern)
    if not names and (network := imagenet_name(asked.pattern)) is not None:
        raise UserError(
            f"{network} is made for larger images: `lowres doctor {network}` looks at it on small ones, "
            f"`lowres train {network} --adapt` trains it"
        )
    if not names:
        raise unknown("model", asked.pattern, list_models(), "`lowres models` lists them")
    for option in asked.model_options.keys() & {"classes", "seed"}:
        remedy = "use --classes" if option == "classes" else "leave it out"
        raise UserError(f"{option} is no option of a network here: {remedy}")
    channels = asked.model_options.get("channels", 3)
    summaries: dict[str, Summary] = {}
    for name in names:
        model = create_model(name, classes=asked.classes, seed=0, **asked.model_options)
        summaries[name] = summarise(model, asked.image_size, cast("int", channels))
    if asked.json:
        print_json([_plain(name, summary, layers=len(names) == 1) for name, summary in summaries.items()])
    elif asked.pattern.lower() in names:
        _show_layers(asked.pattern.lower(), summaries[asked.pattern.lower()])
    else:
        _show_list(summaries)
    return 0


def _plain(name: str, summary: Summary, *, layers: bool) -> dict[str, object]:
    info = model_info(name)
    plain: dict[str, object] = {
        "name": name,
        "family": info.family,
        "summary": info.summary,
        "parameters": summary.parameters,
        "multiply_adds": summary.multiply_adds,
        "options": dict(info.options),
        "published": [vars(p) for p in info.published],
    }
    if layers:
        plain["layers"] = [vars(row) for row in summary.rows]
    return plain


def _show_list(summaries: dict[str, Summary]) -> None:
    table = Table("model", "parameters", "multiply-adds", "published, %", "by", box=None, pad_edge=False)
    for column in table.columns[1:4]:
        column.justify = "right"
    for name, summary in summaries.items():
        first = model_info(name).published[:1]
        accuracy, source = (f"{first[0].accuracy:.2f}", first[0].source) if first else ("", "")
        table.add_row(name, f"{summary.parameters:,}", f"{summary.multiply_adds / 1e6:,.1f} M", accuracy, source)
    console().print(table)


def _show_layers(name: str, summary: Summary) -> None:
    info = model_info(name)
    out = console()
    out.print(f"{name}  {info.summary}")
    for option, default in info.options.items():
        out.print(f"  option {option}={default}")
    for figure in info.published:
        out.print(f"  published: {_published(figure)}")
    table = Table("layer", "kind", "output", "parameters", "multiply-adds", "sees, pixels", box=None, pad_edge=False)
    for column in table.columns[2:]:
        column.justify = "right"
    for row in summary.rows:
        output = "x".join(map(str, row.output))
        table.add_row(
            row.name,
            row.kind,
            output,
            f"{row.parameters:,}" if row.parameters else "",
            f"{row.multiply_adds:,}" if row.multiply_adds else "",
            str(row.receptive_field),
        )
    table.add_section()
    table.add_row("sum", "", "", f"{summary.parameters:,}", f"{summary.multiply_adds:,}", "")
    out.print(table)


def _published(figure: Published) -> str:
    note = f" ({figure.note})" if figure.note else ""
    return f"{figure.accuracy:.2f} %, {figure.source}{note}"
