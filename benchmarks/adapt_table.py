"""Every classifier of torchvision before and after the surgery, for 32 pixels and 10 classes; writes JSON and a table.

    python benchmarks/adapt_table.py --out benchmarks/results/adapt-table.json --table docs/reference/adapted.md

For each builder, with random weights: parameters, multiply-adds, the smallest map a convolution gives, the shares of
convolution parameters on maps of 1x1 and up to 2x2 (squeeze-excite left out), the share of convolution weights that
one backward pass gives a gradient of exactly zero, each before (nothing replaced but the head) and after; whether
a forward and backward pass on 32 pixels gives finite gradients; whether its safetensors file, loaded into the network
that is built from the same recipe, gives the same logits to the bit. Networks of more than 150 million parameters
have a batch of 2 instead of 8.

Each network leaves its figures in --work; a run that was killed goes on from there.
"""

import argparse
import contextlib
import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from lowres.files import write_json
from lowres.models import imagenet
from lowres.models.surgery import Report, adapt, adaptation, head_of, with_head, zero_gradient_share
from lowres.models.surgery.measure import native_trace
from lowres.models.surgery.suitability import learning_mode, random_images
from lowres.models.weights import versioned
from lowres.runs import manifest

SIZE, CLASSES = 32, 10
LARGE = 150_000_000


def examine(name: str) -> dict:
    """The figures of one network."""
    started = time.perf_counter()
    model = imagenet.build(f"torchvision:{name}", seed=0)
    parameters = sum(p.numel() for p in model.parameters())
    batch = 2 if parameters > LARGE else 8
    adapted = adapt(model, SIZE, CLASSES, stem="new", seed=0, gradients=0)
    before = None
    report = adaptation(adapted)
    assert isinstance(report, Report)
    if not report.before.error:
        as_it_is = with_head(model, CLASSES, seed=0)
        before = zero_gradient_share(as_it_is, SIZE, vectors=vectors(model), batch=batch)
        del as_it_is
    aside = vectors(model)
    del model
    images = random_images(batch, 3, SIZE, seed=0)
    learning_mode(adapted)
    logits = adapted(images)
    assert logits.shape == (batch, CLASSES)
    F.cross_entropy(logits, torch.arange(batch) % CLASSES).backward()
    kernels = [
        module.weight.grad
        for key, module in adapted.named_modules()
        if isinstance(module, torch.nn.Conv2d) and key not in aside
    ]
    zero = sum(int((gradient == 0).sum()) for gradient in kernels) / sum(gradient.numel() for gradient in kernels)
    finite = all(p.grad is not None and bool(p.grad.isfinite().all()) for p in adapted.parameters())
    for parameter in adapted.parameters():
        parameter.grad = None
    return {
        "network": name,
        "before": figures(dataclasses.replace(report.before, zero_gradient=before)),
        "after": figures(dataclasses.replace(report.after, zero_gradient=zero)),
        "native_size": report.native_size,
        "native_map": report.native_map,
        "changes": [str(change) for change in report.changes],
        "limit": report.limit,
        "head": head_of(adapted, SIZE),
        "batch": batch,
        "forward_backward_finite": finite,
        "safetensors_round_trip": round_trip(name, adapted, images),
        "seconds": round(time.perf_counter() - started, 1),
    }


def vectors(model: torch.nn.Module) -> frozenset[str]:
    """Convolutions that see pooled vectors."""
    return native_trace(model).vectors


def round_trip(name: str, adapted: torch.nn.Module, images: torch.Tensor) -> bool:
    """Whether a file of the weights, loaded into a network built anew, gives the same logits."""
    adapted.eval()
    with torch.no_grad():
        logits = adapted(images)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        save_file({key: tensor.contiguous() for key, tensor in adapted.state_dict().items()}, file)
        for parameter in adapted.parameters():  # the largest fit into memory once
            parameter.data = torch.empty(0)
        anew = adapt(imagenet.build(f"torchvision:{name}", seed=1), SIZE, CLASSES, stem="new", seed=1, gradients=0)
        anew.load_state_dict(versioned(anew, load_file(file)))
    with torch.no_grad():
        return torch.equal(anew.eval()(images), logits)


def figures(found: object) -> dict:
    values = {key: value for key, value in vars(found).items() if key != "layers"}
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in values.items()}


def row(found: dict) -> str:
    """A line of the table in the documentation."""
    before, after = found["before"], found["after"]

    def count(value: int | None) -> str:
        return "–" if value is None else f"{value / 1e6:,.1f}"

    def side(value: int | None) -> str:
        return "–" if value is None else f"{value}x{value}"

    def share(value: float | None) -> str:
        return "–" if value is None else f"{100 * value:.0f}"

    cells = [
        f"`{found['network']}`",
        f"{count(before['parameters'])} → {count(after['parameters'])}",
        f"{count(before['multiply_adds'])} → {count(after['multiply_adds'])}",
        f"{side(before['smallest_map'])} → {side(after['smallest_map'])}",
        f"{share(before['on_1x1'])} / {share(before['on_2x2'])} → {share(after['on_1x1'])} / {share(after['on_2x2'])}",
        f"{share(before['zero_gradient'])} → {share(after['zero_gradient'])}",
    ]
    return "| " + " | ".join(cells) + " |"


def table(results: list[dict]) -> str:
    """The page of the documentation."""
    lines = [
        "# Adapted networks",
        "",
        "Every classifier of torchvision on 32x32 images with 10 classes, before (its head replaced, nothing else) and",
        "after `lowres.adapt`. Written by `benchmarks/adapt_table.py`; the figures with all changes stand in",
        "`benchmarks/results/adapt-table.json`.",
        "",
        "- **parameters** and **multiply-adds** in millions; the latter for one image, with attention.",
        "- **smallest map** that a convolution, or a merging of patches, gives, before the final pooling.",
        "- **on small maps**: share of the convolutions' parameters, in percent, that work on maps of 1x1, and of up",
        "  to 2x2; convolutions on pooled vectors (squeeze-excite) are left out.",
        "- **zero gradient**: share of the convolutions' weights, in percent, that one backward pass of random images",
        "  (8; 2 for networks of more than 150 M parameters) through random weights gives a gradient of exactly zero.",
        "- **–**: the network does not take 32x32 images as it is.",
        "",
        "| network | parameters | multiply-adds | smallest map | on small maps | zero gradient |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *map(row, results),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Examines all, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help="some of torchvision's; by default all")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("runs/adapt-table"), help="where finished parts are kept")
    parser.add_argument("--out", type=Path, help="write the JSON here")
    parser.add_argument("--table", type=Path, help="write the page of the documentation here")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    names = arguments.networks or imagenet.torchvision_models()
    results = []
    for number, name in enumerate(names, start=1):
        file = arguments.work / f"{name}.json"
        if not file.exists():
            write_json(file, examine(name))
        found = json.loads(file.read_text())
        results.append(found)
        fine = found["forward_backward_finite"] and found["safetensors_round_trip"]
        print(
            f"{number}/{len(names)} {row(found)} {'' if fine else 'FAULT'} {found['seconds']} s",
            file=sys.stderr,
            flush=True,
        )
    result = {
        "what": f"torchvision's classifiers at {SIZE} pixels, {CLASSES} classes, before and after the surgery",
        "networks": len(results),
        "adapted_to_4x4_or_more": sum(r["after"]["smallest_map"] >= 4 for r in results),
        "forward_backward_finite": sum(r["forward_backward_finite"] for r in results),
        "safetensors_round_trips": sum(r["safetensors_round_trip"] for r in results),
        "results": [{key: value for key, value in r.items() if key != "changes"} for r in results],
        "changes": {r["network"]: r["changes"] for r in results},
        "machine": manifest.describe(torch.device("cpu")),
    }
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    if arguments.table:
        arguments.table.write_text(table(results))
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps({key: result[key] for key in list(result)[:5]}, indent=2))


if __name__ == "__main__":
    main()
