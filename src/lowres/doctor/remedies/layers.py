"""Fixes of layers in the source: norms, activations, what mixes images."""

import ast
import copy

from torch import nn

from lowres.doctor.findings import Fix, Place
from lowres.doctor.network import look
from lowres.doctor.patching.edits import Edit
from lowres.doctor.remedies.origins import argument
from lowres.doctor.remedies.scopes import home, owner, spell, statement
from lowres.doctor.setup import Setup
from lowres.doctor.source import Source, called, last_name, parent

NORMS = ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm")
CONVS = ("Conv2d",)
SATURATING = ("Sigmoid", "Tanh")
RELU = "nn.ReLU(inplace=True)"


def sources(setup: Setup) -> list[Source]:
    """All files of the user's."""
    return [one for one in (setup.source, *setup.files.values()) if one is not None]


def norm_calls(source: Source) -> list[ast.Call]:
    """Calls that make batch norms, and partial ones."""
    makers = source.calls(*NORMS)
    partials = [call for call in source.calls("partial") if call.args and last_name(call.args[0]) in NORMS]
    return makers + partials


def norm_option(setup: Setup, name: str, code: str, title: str, manual: str) -> Fix:
    """Every batch norm that is given an option, with another value for it."""
    for source in sources(setup):
        given = [(call, argument(call, -1, name)) for call in norm_calls(source)]
        edits = [source.replaced(value, code) for _, value in given if value is not None]
        if edits:
            return source.fix(title, *edits)
    return Fix(title, code=manual)


def nn_prefix(source: Source) -> str:
    """How the file calls `torch.nn`: `nn.`, `torch.nn.`, or not at all."""
    for call in source.calls(*CONVS, "Linear", "Sequential", *NORMS):
        return f"{source.segment(call.func.value)}." if isinstance(call.func, ast.Attribute) else ""
    return "nn."


def layers_prefix(source: Source, *names: str) -> tuple[str, list[Edit]]:
    """How a file is to call layers of these names, whether it makes any or not, and what it imports for that."""
    single = any(node.module == "torch.nn" for node in source.nodes(ast.ImportFrom))
    if single and not nn_prefix(source):
        return "", [source.imported(f"from torch.nn import {name}") for name in names]
    named = spell(source, "torch.nn")
    return (f"{named}.", []) if named else ("nn.", [source.imported("from torch import nn")])


def placed(source: Source, call: ast.Call, *code: str) -> list[Edit]:
    """Edits that put layers behind one: in its list, by another `append`, or around it in a sequence."""
    above = parent(call)
    if isinstance(above, ast.List | ast.Tuple) or (
        isinstance(above, ast.Call) and called(above) == "Sequential" and call in above.args
    ):
        return [source.wrapped(call, ", ".join(("{}", *code)))]
    if isinstance(above, ast.Call) and called(above) == "append" and isinstance(parent(above), ast.Expr):
        holder = source.segment(above.func)
        return [source.after(parent(above), *(f"{holder}({one})" for one in code))]  # type: ignore[arg-type]
    if isinstance(above, ast.Assign):
        return [source.wrapped(call, f"{nn_prefix(source)}Sequential({', '.join(('{}', *code))})")]
    return []


def norms_behind(source: Source) -> list[Edit] | None:
    """A batch norm behind each convolution that has none; None where one of them cannot be given one."""
    edits: list[Edit] = []
    for call in source.calls(*CONVS):
        if _followed(source, call, (*NORMS, "GroupNorm", "LayerNorm", "InstanceNorm2d")):
            continue
        width = argument(call, 1, "out_channels")
        new = placed(source, call, f"{nn_prefix(source)}BatchNorm2d({source.segment(width)})") if width else []
        if not new:
            return None
        edits += new
    return edits


def next_layer(source: Source, call: ast.Call) -> ast.expr | None:
    """The layer behind one in its list or in the next `append`."""
    above = parent(call)
    listed: list[ast.expr] = []
    if isinstance(above, ast.List | ast.Tuple | ast.Call):
        listed = above.args if isinstance(above, ast.Call) else above.elts
    if call in listed and not (isinstance(above, ast.Call) and called(above) == "append"):
        at = listed.index(call)
        return listed[at + 1] if at + 1 < len(listed) else None
    line = parent(above) if isinstance(above, ast.Call) else None
    if isinstance(above, ast.Call) and called(above) == "append" and isinstance(line, ast.Expr):
        block = getattr(parent(line), "body", [])
        at = block.index(line) + 1 if line in block else len(block)
        following = block[at].value if at < len(block) and isinstance(block[at], ast.Expr) else None
        if isinstance(following, ast.Call) and called(following) == "append" and following.args:
            return following.args[0]
    return None


def _followed(source: Source, call: ast.Call, names: tuple[str, ...]) -> bool:
    behind = next_layer(source, call)
    return isinstance(behind, ast.Call) and called(behind) in names


def norms(setup: Setup, title: str, *, activations: bool) -> Fix:
    """Norms behind convolutions, and rectifiers for what saturates."""
    manual = Fix(title, code="nn.BatchNorm2d(channels)" + (", nn.ReLU(inplace=True)" if activations else ""))
    for source in sources(setup):
        if not source.calls(*CONVS):
            continue
        edits = norms_behind(source) if setup.network is not None and not setup.network.norms else []
        if edits is None:
            return manual
        if activations:
            edits += [source.replaced(call, nn_prefix(source) + "ReLU(inplace=True)") for call in saturating(source)]
        if edits:
            return source.fix(title, *edits)
    return manual


def saturating(source: Source) -> list[ast.Call]:
    """Sigmoids between layers; gates and the last one of a network are none of them."""
    found = []
    for call in source.calls(*SATURATING):
        before = _layer_before(source, call)
        if isinstance(before, ast.Call) and called(before) in (*CONVS, *NORMS):
            kernel = argument(before, 2, "kernel_size")
            if called(before) in NORMS or not (isinstance(kernel, ast.Constant) and kernel.value == 1):
                found.append(call)
    return found


def _layer_before(source: Source, call: ast.Call) -> ast.expr | None:
    return next(
        (one for one in source.nodes(ast.Call) if one is not call and next_layer(source, one) is call),
        None,
    )


def rectifiers(setup: Setup) -> Fix:
    """A rectifier behind each norm (or convolution, where there are no norms) that another layer follows."""
    title = "an activation behind each convolution"
    manual = Fix(title, code=RELU)
    for source in sources(setup):
        calls = source.calls(*NORMS) or source.calls(*CONVS)
        edits: list[Edit] = []
        for call in calls:
            behind = next_layer(source, call)
            if isinstance(behind, ast.Call) and called(behind) in ACTIVATIONS:
                continue
            if behind is None and _ends_a_branch(source, call):
                continue
            edits += placed(source, call, nn_prefix(source) + "ReLU(inplace=True)")
        if edits:
            return source.fix(title, *edits)
    return manual


ACTIVATIONS = ("ReLU", "ReLU6", "LeakyReLU", "GELU", "SiLU", "Mish", "ELU", "Hardswish", "PReLU", "Sigmoid", "Tanh")


def _ends_a_branch(source: Source, call: ast.Call) -> bool:
    """Whether a layer is the last of an attribute that is added to something in a forward pass."""
    above = statement(call)
    if not isinstance(above, ast.Assign):
        return False
    name = next((source.segment(t) for t in above.targets if isinstance(t, ast.Attribute)), "")
    if not name:
        return False
    adds = [one for one in source.nodes(ast.BinOp) if isinstance(one.op, ast.Add)]
    return any(f"{name}(" in source.segment(one) for one in adds if owner(one) is owner(above))


def shared_norm(setup: Setup, names: list[str]) -> Fix:
    """A norm of its own for each further place that one is used at."""
    title = "a norm for each place"
    manual = Fix(title, code="self.bn2 = nn.BatchNorm2d(channels)")
    if setup.model is None:
        return manual
    kinds: dict[str, set[str]] = {}
    for name in names:
        holder, _, attribute = name.rpartition(".")
        kinds.setdefault(type(setup.model.get_submodule(holder)).__name__, set()).add(attribute)
    for source in sources(setup):
        edits: list[Edit] = []
        for node in source.nodes(ast.ClassDef):
            for attribute in sorted(kinds.get(node.name, ())):
                new = _own_norms(source, node, attribute)
                if new is None:
                    return manual
                edits += new
        if edits:
            return source.fix(title, *edits)
    return manual


def _own_norms(source: Source, around: ast.ClassDef, attribute: str) -> list[Edit] | None:
    made = [
        one
        for one in ast.walk(around)
        if isinstance(one, ast.Assign)
        and any(isinstance(t, ast.Attribute) and t.attr == attribute for t in one.targets)
        and isinstance(one.value, ast.Call)
    ]
    uses = [
        one.func
        for one in ast.walk(around)
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and one.func.attr == attribute
    ]
    uses.sort(key=lambda func: (func.end_lineno or 0, func.end_col_offset or 0))
    if len(made) != 1 or len(uses) < 2 or any(isinstance(parent(made[0]), kind) for kind in (ast.For, ast.If)):
        return None
    # inner calls run first: `bn(conv(bn(x)))` ends with the outer one
    uses.sort(key=lambda func: func.lineno)
    edits: list[Edit] = []
    taken = {one.attr for one in ast.walk(around) if isinstance(one, ast.Attribute)}
    code = []
    for number, func in enumerate(uses[1:], start=2):
        stem = attribute.rstrip("0123456789")
        new = f"{stem}{number}" if f"{stem}{number}" not in taken else f"{attribute}_{number}"
        if new in taken:
            return None
        taken.add(new)
        code.append(f"self.{new} = {source.segment(made[0].value)}")
        edits.append(source.replaced(func, f"{source.segment(func.value)}.{new}"))
    return [*edits, source.after(made[0], *code)]


def kept_apart(setup: Setup) -> Fix:
    """Attention with the batch first, or no statistics over the batch."""
    title = "keep images apart"
    manual = Fix(
        title, code="nn.MultiheadAttention(..., batch_first=True)  # if it attends; otherwise no statistics over dim 0"
    )
    for source in sources(setup):
        attends = [
            call
            for call in source.calls("MultiheadAttention", "TransformerEncoderLayer", "TransformerDecoderLayer")
            if argument(call, -1, "batch_first") is None
        ]
        if attends and _helps(setup):
            return source.fix(title, *(source.with_keyword(call, "batch_first", "True") for call in attends))
        over = [one for one in source.nodes(ast.Assign) if _scales_over_the_batch(source, one)]
        if len(over) == 1:
            return source.fix(title, source.removed(over[0]))
    return manual


def _helps(setup: Setup) -> bool:
    """Whether images no longer mix once attention takes the batch first."""
    if setup.pristine is None or setup.inputs is None:
        return False
    model = copy.deepcopy(setup.pristine)
    for module in model.modules():
        if isinstance(module, nn.MultiheadAttention):
            module.batch_first = True
    network = setup.attempt("attention with the batch first", lambda: look(model.cpu(), setup.inputs.float()))  # type: ignore[union-attr]
    return network is not None and network.mixed < 1e-4


def _scales_over_the_batch(source: Source, node: ast.Assign) -> bool:
    """`x = (x - x.mean(dim=0)) / x.std(dim=0)`, which in a forward pass mixes images."""
    function = home(node)
    if function is None or function.name != "forward" or len(node.targets) != 1:
        return False
    name = source.segment(node.targets[0])
    statistics = {
        called(one)
        for one in ast.walk(node.value)
        if isinstance(one, ast.Call)
        and isinstance(one.func, ast.Attribute)
        and source.segment(one.func.value) == name
        and _zero(argument(one, 0, "dim", "axis"))
    }
    others = {last_name(one) for one in ast.walk(node.value) if isinstance(one, ast.Name)} - {name}
    return bool(statistics & {"mean", "std", "var"}) and not others and isinstance(node.value, ast.BinOp)


def _zero(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value == 0 and not isinstance(node.value, bool)


def told_the_mode(setup: Setup) -> tuple[Place | None, Fix | None]:
    """`F.dropout` without a mode, in a method of a network."""
    title = "tell dropout the mode"
    for source in sources(setup):
        calls = [
            call
            for call in source.calls("dropout", "dropout1d", "dropout2d", "alpha_dropout")
            if argument(call, 2, "training") is None and not source.segment(call.func).startswith("self.")
        ]
        methods = [call for call in calls if _in_method(call)]
        if calls:
            place = Place(source.path, calls[0].lineno)
            edits = [source.with_keyword(call, "training", "self.training") for call in methods]
            return place, source.fix(title, *edits) if edits else None
    return None, None


def _in_method(call: ast.Call) -> bool:
    function = home(call)
    return function is not None and bool(function.args.args) and function.args.args[0].arg == "self"
