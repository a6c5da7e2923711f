"""What the names of tensors tell: wrappers to take off, the words in a path, the role a layer has.

Used where names of one program meet those of another: by the initialisation and by the loading of weights.
"""

import re

SHORTCUT = frozenset({"shortcut", "downsample", "skip", "identity", "proj", "projection", "red"})
SQUEEZE_EXCITE = frozenset({"se", "squeeze", "excite", "excitation"})


def plain(name: str) -> str:
    """A tensor's name without what wrappers add: `_orig_mod` of torch.compile, `module` of data parallelism.

    Example:
        >>> plain("module._orig_mod.stem.conv.weight")
        'stem.conv.weight'
    """
    parts = [part for part in name.split(".") if part != "_orig_mod"]
    while len(parts) > 1 and parts[0] == "module":
        parts = parts[1:]
    return ".".join(parts)


def words(path: str) -> list[str]:
    """The words and numbers of a path, in lower case.

    Example:
        >>> words("stage1_res_block2.convShortcut")
        ['stage', '1', 'res', 'block', '2', 'conv', 'shortcut']
    """
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", path)]


def role(path: str) -> str:
    """What a layer is for, as its path tells: "shortcut", "squeeze-excite", "block", or "stem or head".

    A layer that sits in a block has the block's number before its own name (`layer1.0.bn1`,
    `stage1_block2_bn1`); that tells it from the stem and from a pre-activation network's last norm.
    """
    parts = words(path)
    if SHORTCUT.intersection(parts):
        return "shortcut"
    if SQUEEZE_EXCITE.intersection(parts):
        return "squeeze-excite"
    while parts and parts[-1].isdigit():
        parts.pop()
    return "block" if any(part.isdigit() for part in parts) else "stem or head"


def natural_key(name: str) -> list[tuple[int, str]]:
    """Sorts names so that numbers in them count as numbers: `layer1.2` before `layer1.10`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
