"""What fixes of a training write into its own lines, in two manners of writing."""

import pytest

STEP = "        optimizer.step()\n"
SGD = "SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=5e-4)"
SCHEDULE = "scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)\n"
SELF_SCHEDULE = "        self.scheduler = optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=args.epochs)\n"

DEEP = "        x = self.more(self.body(x)).mean((2, 3))\n"
RESIDUAL = """        x = self.body(x)
        for _ in range(3):
            x = x + F.conv2d(x, self.body[0].weight[:, :1].repeat(1, 64, 1, 1), padding=1)
        x = self.more(x).mean((2, 3))
"""
DEEPER = "        x = self.last(self.more(self.body(x))).mean((2, 3))\n"
LAST = "        self.last = nn.Sequential(nn.Conv2d(2 * width, 2 * width, 3, padding=1), nn.Sigmoid())\n"
SHOWN = '            print("epoch", epoch, "accuracy", val_acc)\n'
IMPATIENT = """            if val_acc > best:
                best, bad = val_acc, 0
            else:
                bad += 1
                if bad >= 2:
                    break
"""
FREEZE = "for p in model.parameters():\n    p.requires_grad = False\n"

# Of each fault: the style, the check, what is exchanged, and a text that stands in the program afterwards.
FIXES = {
    "momentum": ("plain", "TR502", [(", momentum=0.9", "")], "lr=RATE, weight_decay=5e-4, momentum=0.9)"),
    "momentum that is declared": (
        "plain",
        "TR502",
        [(", momentum=0.9", ""), ("RATE = 0.1", "RATE = 0.1\nMOMENTUM = 0.8")],
        "momentum=MOMENTUM)",
    ),
    "momentum of the command line": (
        "classes",
        "TR502",
        [(", momentum=0.9", ""), ('"--lr", ', '"--momentum", type=float)\n    parser.add_argument("--lr", ')],
        "momentum=args.momentum)",
    ),
    "decay": ("plain", "TR501", [(", weight_decay=5e-4", "")], "momentum=0.9, weight_decay=5e-4)"),
    "decay by position": (
        "classes",
        "TR501",
        [("momentum=0.9, weight_decay=5e-4", "momentum=0.9")],
        "weight_decay=5e-4)",
    ),
    "decay in Adam": (
        "plain",
        "TR503",
        [(SGD, "Adam(model.parameters(), lr=1e-3, weight_decay=1e-2)")],
        "optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)",
    ),
    "rate too high": ("plain", "LR101", [("RATE = 0.1", "RATE = 10.0")], "RATE = 0.02\n"),
    "rate too low": ("classes", "LR102", [("default=0.1", "default=0.0001")], '"--lr", type=float, default=0.02)'),
    "rate of one cycle": (
        "plain",
        "LR101",
        [
            (SCHEDULE, "scheduler = optim.lr_scheduler.OneCycleLR(optimizer, 20.0, epochs=12, steps_per_epoch=10)\n"),
            (STEP, STEP + "        scheduler.step()\n"),
            ("    scheduler.step()\n    model", "    model"),
        ],
        "OneCycleLR(optimizer, 0.02, epochs",
    ),
    "no schedule": (
        "plain",
        "LR103",
        [(SCHEDULE, ""), ("    scheduler.step()\n", "")],
        "weight_decay=5e-4)\nscheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)\n",
    ),
    "no schedule of two optimizers": (
        "plain",
        "LR103",
        [
            (SCHEDULE, ""),
            ("    scheduler.step()\n", ""),
            ("optimizer = torch.optim.", "if RATE < 1:\n    optimizer = torch.optim."),
            ("\nbest = 0", "else:\n    optimizer = torch.optim.Adam(model.parameters())\n\nbest = 0"),
        ],
        "best = 0\nscheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)\nfor epoch",
    ),
    "no step of no schedule": (
        "plain",
        "LR103",
        [(SCHEDULE, ""), ("    scheduler.step()\n", "")],
        "val_acc)\n    scheduler.step()\n",
    ),
    "no schedule, and epochs that are named after the optimizer": (
        "plain",
        "LR103",
        [("EPOCHS = 12\n", ""), (SCHEDULE, "EPOCHS = 12\n"), ("    scheduler.step()\n", "")],
        "best = 0\nscheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)\nfor epoch",
    ),
    "no schedule in classes": (
        "classes",
        "LR103",
        [(SELF_SCHEDULE, ""), ("            self.scheduler.step()\n", "")],
        "        self.scheduler = optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=self.args.epochs)\n",
    ),
    "never stepped": ("plain", "LR104", [("    scheduler.step()\n", "")], "val_acc)\n    scheduler.step()\n"),
    "never stepped in classes": (
        "classes",
        "LR104",
        [("            self.scheduler.step()\n", "")],
        "val_acc)\n            self.scheduler.step()\n",
    ),
    "one cycle never stepped": (
        "classes",
        "LR104",
        [
            ("            self.scheduler.step()\n", ""),
            (
                "CosineAnnealingLR(self.optimizer, T_max=args.epochs)",
                "OneCycleLR(self.optimizer, args.lr, epochs=args.epochs, steps_per_epoch=len(self.train_loader))",
            ),
        ],
        "            self.optimizer.step()\n            self.scheduler.step()\n",
    ),
    "horizon in batches": (
        "plain",
        "LR105",
        [("T_max=EPOCHS", "T_max=EPOCHS * len(train_loader)")],
        "        optimizer.step()\n        scheduler.step()\n    model.eval",
    ),
    "milestones after the end": (
        "plain",
        "LR105",
        [("CosineAnnealingLR(optimizer, T_max=EPOCHS)", "MultiStepLR(optimizer, [20, 30])")],
        "MultiStepLR(optimizer, [6, 9])",
    ),
    "horizon too short": ("classes", "LR106", [("T_max=args.epochs", "T_max=7")], "T_max=self.args.epochs)"),
    "stepped by the batch": (
        "classes",
        "LR106",
        [
            ("            self.scheduler.step()\n", ""),
            (
                "            self.optimizer.step()\n",
                "            self.optimizer.step()\n            self.scheduler.step()\n",
            ),
        ],
        "val_acc)\n            self.scheduler.step()\n",
    ),
    "gone too early": (
        "plain",
        "LR107",
        [("CosineAnnealingLR(optimizer, T_max=EPOCHS)", "StepLR(optimizer, 1, 0.1)")],
        "scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)\n",
    ),
    "one cycle too short": (
        "plain",
        "LR108",
        [
            ("CosineAnnealingLR(optimizer, T_max=EPOCHS)", "OneCycleLR(optimizer, RATE, total_steps=40)"),
            (STEP, STEP + "        scheduler.step()\n"),
            ("    scheduler.step()\n    model", "    model"),
        ],
        "OneCycleLR(optimizer, RATE, total_steps=EPOCHS * len(train_loader))",
    ),
    "plateau": (
        "plain",
        "LR109",
        [
            ("CosineAnnealingLR(optimizer, T_max=EPOCHS)", "ReduceLROnPlateau(optimizer, 'min')"),
            ("    scheduler.step()\n", ""),
            ('    print("epoch"', '    scheduler.step(val_acc)\n    print("epoch"'),
        ],
        "ReduceLROnPlateau(optimizer, 'max')",
    ),
    "never cleared": (
        "plain",
        "TR521",
        [("        optimizer.zero_grad()\n", "")],
        "optimizer.zero_grad()\n        loss.back",
    ),
    "never cleared in classes": (
        "classes",
        "TR521",
        [("            self.optimizer.zero_grad()\n", "")],
        "            self.optimizer.zero_grad()\n            loss.backward()\n",
    ),
    "no step": (
        "classes",
        "TR522",
        [("            self.optimizer.step()\n", "")],
        "loss.backward()\n            self.optimizer.step()",
    ),
    "cleared before the step": (
        "plain",
        "TR523",
        [("        optimizer.zero_grad()\n", ""), ("backward()\n", "backward()\n        optimizer.zero_grad()\n")],
        "        optimizer.zero_grad()\n        loss.backward()\n        optimizer.step()\n",
    ),
    "clipped": (
        "plain",
        "TR524",
        [("backward()\n", "backward()\n        nn.utils.clip_grad_norm_(model.parameters(), 0.001)\n")],
        "clip_grad_norm_(model.parameters(), 5.0)",
    ),
    "softmax in the network": (
        "plain",
        "LO301",
        [("return self.head(x)", "return F.softmax(self.head(x), dim=1)")],
        "return self.head(x)\n",
    ),
    "softmax in the loop": (
        "classes",
        "LO301",
        [("criterion(scores, y)", "criterion(scores.softmax(1), y)")],
        "criterion(scores, y)",
    ),
    "softmax before the loop's loss": (
        "plain",
        "LO301",
        [("scores = model(x)", "scores = torch.softmax(model(x), 1)")],
        "scores = model(x)\n",
    ),
    "softmax as a layer": (
        "classes",
        "LO301",
        [("= nn.Linear(2 * width, 10)", "= nn.Sequential(nn.Linear(2 * width, 10), nn.Softmax(1))")],
        "nn.Linear(2 * width, 10), nn.Identity())",
    ),
    "sigmoid": (
        "plain",
        "LO302",
        [("return self.head(x)", "return torch.sigmoid(self.head(x))")],
        "return self.head(x)\n",
    ),
    "nll": ("classes", "LO303", [("nn.CrossEntropyLoss()", "nn.NLLLoss()")], "self.criterion = nn.CrossEntropyLoss()"),
    "logarithm of zero": (
        "plain",
        "LO305",
        [
            (
                "        loss = criterion(scores, y)\n",
                "        p = F.softmax(scores * 1000, dim=1)\n"
                "        loss = -(F.one_hot(y, 10) * torch.log(p)).sum(dim=1).mean()\n",
            )
        ],
        "        scores = model(x)\n        loss = criterion(scores, y)\n",
    ),
    "part of the parameters": (
        "classes",
        "TR511",
        [("SGD(self.model.par", "SGD(self.model.body.par")],
        "SGD(self.model.parameters()",
    ),
    "exchanged too late": (
        "plain",
        "TR511",
        [("\nbest = 0\n", "model.head = nn.Linear(128, 10)\n\nbest = 0\n")],
        "model.head = nn.Linear(128, 10)\noptimizer = torch.optim.SGD",
    ),
    "layers in a list": (
        "plain",
        "TR512",
        [
            ("        self.head =", "        self.extra = [nn.Linear(128, 128)]\n        self.head ="),
            ("return self.head(x)", "return self.head(x + self.extra[0](x))"),
        ],
        "self.extra = nn.ModuleList([nn.Linear(128, 128)])",
    ),
    "made in forward": (
        "classes",
        "TR513",
        [
            ("        self.head = nn.Linear(2 * width, 10)\n", ""),
            (
                "        return self.head(x)",
                "        head = nn.Linear(x.shape[1], 10).to(x.device)\n        return head(x)",
            ),
        ],
        "        self.head = nn.Linear(128, 10)\n\n    def forward",
    ),
    "frozen": (
        "plain",
        "TR514",
        [("model = Net()\n", "model = Net()\n" + FREEZE + "model.head = nn.Linear(128, 10)\n")],
        "model = Net()\nmodel.head = nn.Linear(128, 10)\n",
    ),
    "layers of another optimizer": (
        "plain",
        "LR101",
        [(SGD, "Adam(model.parameters(), lr=RATE, betas=(0.9, 0.98))"), (DEEP, RESIDUAL)],
        "optimizer = optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=5e-4)\n",
    ),
    "too few epochs": (
        "plain",
        "TR531",
        [("EPOCHS = 12", "EPOCHS = 2"), ("Photographs(320, True)", "Photographs(10000, True)")],
        "EPOCHS = 50\n",
    ),
    "impatience": (
        "classes",
        "TR532",
        [("default=12", "default=30"), ("for epoch in", "best, bad = 0, 0\n        for epoch in"), (SHOWN, IMPATIENT)],
        "bad >= self.args.epochs:",
    ),
    "dropout": (
        "plain",
        "AR114",
        [
            ("nn.ReLU())", "nn.ReLU(), nn.Dropout(0.5), nn.Dropout(0.5))"),
            (DEEP, DEEPER),
            ("        self.head =", LAST + "        self.head ="),
        ],
        "nn.ReLU(), nn.Dropout(0.0), nn.Dropout(0.0))",
    ),
    "too narrow": (
        "classes",
        "AR112",
        [("width=64", "width=4"), (DEEP, DEEPER), ("        self.head =", LAST + "        self.head =")],
        "def __init__(self, width=64)",
    ),
    "a prefix": (
        "plain",
        "TR525",
        [
            (
                "\nbest = 0\n",
                "\nstate = {'module.' + name: value for name, value in model.state_dict().items()}\n"
                "model.load_state_dict(state, strict=False)\n",
            )
        ],
        'model.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})',
    ),
    "half precision": (
        "plain",
        "TR526",
        [
            (
                "        scores = model(x)\n",
                "        with torch.autocast('cuda', enabled=EPOCHS > 99):\n            scores = model(x)\n",
            )
        ],
        "torch.autocast('cuda', enabled=EPOCHS > 99, dtype=torch.bfloat16)",
    ),
    "smoothing": (
        "plain",
        "TR505",
        [("RATE = 0.1\n", "RATE = 0.1\nlabel_smoothing = 0.1\n")],
        "nn.CrossEntropyLoss(label_smoothing=label_smoothing)",
    ),
}


@pytest.mark.parametrize("name", FIXES)
def test_a_fix_is_written_into_the_program(faulty, fixed, name):
    style, code, pairs, expected = FIXES[name]
    assert expected in fixed(faulty(style, *pairs), code)


def test_a_figure_of_the_loop_stays_where_a_schedule_would_end_after_it(faulty, fixed, observe, tmp_path):
    """A cosine that another fix adds ends after the figure that stands there now."""
    program = faulty(
        "plain",
        ("EPOCHS = 12\n", ""),
        ("in range(EPOCHS)", "in range(2)"),
        (SCHEDULE, ""),
        ("    scheduler.step()\n", ""),
        ("Photographs(320, True)", "Photographs(10000, True)"),
    )
    assert fixed(program, "TR531") == ""
    assert "T_max=2" in fixed(program, "LR103", out=tmp_path / "second")


def test_a_schedule_is_left_alone_while_the_optimizer_never_steps(faulty, fixed, observe, tmp_path):
    """It would be taken for one that is stepped by the epoch; given so few steps it would raise later."""
    cycle = "OneCycleLR(optimizer, RATE, epochs=EPOCHS, steps_per_epoch=len(train_loader))"
    program = faulty(
        "plain",
        (SCHEDULE, f"scheduler = optim.lr_scheduler.{cycle}\n"),
        (STEP, "        scheduler.step()\n"),
        ("    scheduler.step()\n    model", "    model"),
    )
    assert "loss.backward()\n        optimizer.step()\n        scheduler.step()\n" in fixed(program, "TR522")
    found = [one.code for one in observe(program, out=tmp_path / "second").findings if one.grade != "note"]
    assert "TR522" in found
    assert "LR105" not in found


def test_a_schedule_by_hand_is_handed_the_epoch(faulty, fixed):
    loop = "    for group in optimizer.param_groups:\n        group['lr'] = schedule(group['lr'])\n"
    by_hand = "def schedule(epoch):\n    return 0.1 if epoch < 6 else 0.01\n"
    program = faulty(
        "plain",
        (SCHEDULE, by_hand),
        ("    scheduler.step()\n", ""),
        ("    model.train()\n", loop + "    model.train()\n"),
    )
    assert "group['lr'] = schedule(epoch)" in fixed(program, "LR104")


BODY = "nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())"
MORE = "nn.Sequential(nn.Conv2d(width, 2 * width, 3, padding=1), nn.BatchNorm2d(2 * width), nn.ReLU())"
WIDE = "nn.Conv2d(width, width, 3, padding=1)"


def eight_convolutions(normed):
    """Exchanges that give the network eight convolutions and no shortcuts."""
    norm = "nn.BatchNorm2d(width), " if normed else ""
    layers = [f"nn.Conv2d(3, width, 3, padding=1), {norm}nn.ReLU()", *[f"{WIDE}, {norm}nn.ReLU()"] * 6]
    body = (BODY, f"nn.Sequential({', '.join(layers)})")
    return body if normed else [body, (MORE, MORE.replace("nn.BatchNorm2d(2 * width), ", ""))]


@pytest.mark.parametrize(("rate", "becomes"), [("0.12", "0.05"), ("0.06", "0.06"), ("0.2", "0.2")])
def test_norms_come_with_the_rate_that_suits_a_network_without_shortcuts(faulty, fixed, rate, becomes):
    """A ResNet would be trained at 0.1. From 0.15 on the rate is LR101's to set."""
    exchanged = [("BATCH_SIZE = 32", "BATCH_SIZE = 128"), ("RATE = 0.1", f"RATE = {rate}")]
    text = fixed(faulty("plain", *exchanged, *eight_convolutions(normed=False)), "AR110")
    assert text.count("nn.BatchNorm2d(width)") == 7
    assert f"RATE = {becomes}\n" in text


def test_a_rate_too_low_becomes_half_of_a_resnets_without_shortcuts(faulty, fixed):
    program = faulty("plain", ("RATE = 0.1", "RATE = 0.00005"), eight_convolutions(normed=True))
    assert "RATE = 0.01\n" in fixed(program, "LR102")


@pytest.mark.parametrize(
    ("rate", "code", "becomes"),
    [("0.001", "LR102", "RATE = 0.1\n"), ("100.0", "LR101", "RATE = 0.1\n"), ("0.1", "LR102", "")],
)
def test_a_new_rate_is_for_the_batch_that_another_fix_sets(faulty, fixed, observe, tmp_path, rate, code, becomes):
    """A batch of 2048 would bear sixteen times the rate of one of 128."""
    exchanged = [("BATCH_SIZE = 32", "BATCH_SIZE = 2048"), ("RATE = 0.1", f"RATE = {rate}")]
    program = faulty("plain", *exchanged, ("Photographs(320, True)", "Photographs(6400, True)"))
    assert "BATCH_SIZE = 128\n" in fixed(program, "LR111")
    if becomes:
        assert becomes in fixed(program, code, out=tmp_path / "second")


def test_a_loop_on_one_line_is_mended_within(faulty, fixed):
    text = faulty("plain", ("        optimizer.zero_grad()\n", ""))
    at = text.index("    for x, y in train_loader:\n")
    end = text.index("    scheduler.step()\n")
    line = "    for x, y in train_loader: loss = criterion(model(x), y); loss.backward(); optimizer.step()\n"
    after = fixed(text[:at] + line + text[end:], "TR521")
    assert "        optimizer.step()\n        optimizer.zero_grad()\n    scheduler.step()\n" in after


SHORT = [("EPOCHS = 12", "EPOCHS = 4"), ("Photographs(320, True)", "Photographs(10000, True)")]


@pytest.mark.parametrize(
    ("schedule", "becomes"),
    [
        ("CosineAnnealingLR(optimizer, T_max=4)", "CosineAnnealingLR(optimizer, T_max=50)"),
        ("MultiStepLR(optimizer, [2, 3])", "MultiStepLR(optimizer, [25, 38])"),
        ("MultiStepLR(optimizer, [100, 150])", ""),
        ("CosineAnnealingLR(optimizer, T_max=200)", ""),
    ],
)
def test_a_longer_training_has_a_longer_schedule(faulty, fixed, schedule, becomes):
    """Times beyond the present end are mended for the present length, by another finding: both would not fit."""
    text = fixed(faulty("plain", *SHORT, ("CosineAnnealingLR(optimizer, T_max=EPOCHS)", schedule)), "TR531")
    assert (text == "") == (becomes == "")
    if becomes:
        assert becomes in text
        assert "EPOCHS = 50\n" in text


@pytest.mark.parametrize(("end", "applies"), [("EPOCHS - 1", True), ("3", False)])
def test_a_longer_training_after_a_warm_up(faulty, fixed, end, applies):
    warm = "optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=1)"
    cosine = f"optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max={end})"
    schedule = f"SequentialLR(optimizer, [{warm}, {cosine}], milestones=[1])"
    text = fixed(faulty("plain", *SHORT, ("CosineAnnealingLR(optimizer, T_max=EPOCHS)", schedule)), "TR531")
    assert ("EPOCHS = 50\n" in text) == applies
