import ast

import pytest
import torch
from bases import BASES, SCRATCH, clean
from narrow import narrowed
from programs import single_faults

from lowres.doctor.source import Source

CLASSES = {"resnet9": "ResNet9", "resnet18": "ResNet18", "mobilenet": "MobileNet", "vgg": "VGG", "vit": "ViT"}


def network(text, base):
    """The network of a program, without the rest of it."""
    tree = Source("program", text).tree
    wanted = (ast.Import, ast.ImportFrom, ast.ClassDef)
    body = [n for n in tree.body if isinstance(n, wanted) or getattr(n, "name", "") == "conv_block"]
    space = {}
    exec(compile(ast.Module(body, []), "program", "exec"), space)
    return space[CLASSES[base]]()


@pytest.mark.parametrize("base", SCRATCH)
def test_a_narrow_network_is_the_same_one_with_fewer_parameters(base):
    text = clean(base, "plain").text
    assert narrowed(text, base, 1) == text
    wide, thin, thinner = (network(narrowed(text, base, by), base) for by in (1, 4, 8))
    count = [sum(p.numel() for p in one.parameters()) for one in (wide, thin, thinner)]
    assert count[1] < 0.3 * count[0]
    assert count[2] < 0.4 * count[1] or base == "vit"
    assert thinner(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    assert thin(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    if base != "vit":
        assert [name for name, _ in thin.named_modules()] == [name for name, _ in wide.named_modules()]


def test_every_faulty_program_from_scratch_has_a_narrow_one():
    for program in single_faults():
        base = program.source.base
        if BASES[base].network:
            text = narrowed(program.source.text, base, 4)
            ast.parse(Source("program", text).text)
            assert text != program.source.text, program.name


def test_the_mobilenet_of_the_zoo_is_narrowed_by_its_own_option():
    (program,) = [one for one in single_faults() if one.name.startswith("network-of-the-zoo-mobilenet")]
    assert "torchvision.models.mobilenet_v2(num_classes=10, width_mult=0.25)" in narrowed(
        program.source.text, "mobilenet", 8
    )
