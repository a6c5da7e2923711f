"""Faults of training: rates, optimizers, schedules, budgets, the order of calls, the loss."""

import re

from bases import SCRATCH
from operators import fault
from source import Source

COSINE = ("resnet18", "mobilenet")
STEP = "{scheduler}.step()"
SOFTMAX = ("resnet9", "resnet18", "mobilenet", "vgg")


def schedule(s: Source, expression: str) -> Source:
    """Another schedule in the place of the program's."""
    name = s.say("{scheduler}").replace(".", "[.]")
    return s.sub(rf"^([ \t]*{name} = )(?:.*\(\n(?:.*\n)*?[ \t]*\)|.*)\n", lambda m: m[1] + s.say(expression) + "\n")


def no_schedule(s: Source) -> Source:
    """No scheduler, no step of one."""
    name = s.say("{scheduler}").replace(".", "[.]")
    return s.sub(rf"^([ \t]*{name} = )(?:.*\(\n(?:.*\n)*?[ \t]*\)|.*)\n", "").drop(STEP)


def optimizer(s: Source, expression: str) -> Source:
    """Another optimizer in the place of the program's."""
    name = s.say("{optimizer}").replace(".", "[.]")
    return s.sub(rf"^([ \t]*{name} = ).*\n", lambda m: m[1] + s.say(expression) + "\n")


@fault("C04", tier=1, cost=80, touches="rate", bases=(*SCRATCH, "finetune"), also=("C21", "C33"))
def rate_a_hundredfold(s: Source) -> Source:
    """The rate is a hundred times too high."""
    return s.set("rate", s.value("rate") * 100)


@fault("C04", tier=1, cost=30, touches="rate", bases=(*SCRATCH, "finetune"), also=("C22",))
def rate_a_thousandth(s: Source) -> Source:
    """The rate is a thousand times too low."""
    return s.set("rate", s.value("rate") / 1000)


@fault(
    "C04",
    tier=1,
    cost=80,
    touches="optimizer",
    bases=("resnet18", "mobilenet", "vgg"),
    also=("C21", "C07", "C33", "C06"),
)
def adam_at_the_rate_of_sgd(s: Source) -> Source:
    """Adam with the rate that SGD had."""
    return (
        optimizer(s, "{optim}.Adam({model}.parameters(), lr={rate})")
        .undeclare("momentum")
        .undeclare("decay")
        .set("rate", 0.1)
    )


@fault("C04", tier=1, cost=8, touches="rate", bases=("finetune",), also=("C21",))
def rate_from_scratch_for_weights(s: Source) -> Source:
    """Pretrained weights at a rate meant for random ones."""
    return s.set("rate", 0.3)


@fault("C02", tier=1, cost=5, touches="schedule", bases=SCRATCH)
def constant_rate(s: Source) -> Source:
    """No schedule at all."""
    return no_schedule(s)


@fault("C03", tier=1, cost=3, touches="schedule", bases=COSINE, also=("C02",))
def horizon_in_batches(s: Source) -> Source:
    """A cosine whose horizon counts batches, stepped once an epoch: the rate hardly moves."""
    return s.swap("T_max={epochs}", "T_max={epochs} * len({train_loader})")


@fault("C03", tier=1, cost=3, touches="schedule", bases=COSINE)
def horizon_too_short(s: Source) -> Source:
    """A cosine that reaches zero early and climbs back."""
    return s.swap("T_max={epochs}", "T_max=" + str(int(s.value("epochs") * 0.6)))


@fault("C03", tier=1, cost=3, touches="schedule", bases=("vgg",), also=("C02",))
def milestones_after_the_end(s: Source) -> Source:
    """The first decay would come after the last epoch."""
    return s.swap("milestones=[75, 120]", "milestones=[200, 300]")


@fault("C03", tier=1, cost=20, touches="schedule", bases=("resnet9", "finetune"), also=("C02", "C04"))
def batch_schedule_stepped_by_epoch(s: Source) -> Source:
    """A schedule counted in batches is stepped once an epoch."""
    return s.drop(STEP).before("{validate}", STEP)


@fault("C03", tier=1, cost=3, touches="schedule", bases=COSINE)
def epoch_schedule_stepped_by_batch(s: Source) -> Source:
    """A cosine counted in epochs is stepped at every batch: up and down all the time."""
    return s.drop(STEP).after("{optimizer}.step()", STEP)


@fault("C03", tier=1, cost=5, touches="schedule", bases=(*SCRATCH, "finetune"), also=("C02", "C04"))
def schedule_never_stepped(s: Source) -> Source:
    """A scheduler is built and never stepped."""
    return s.drop(STEP)


@fault("C03", tier=1, cost=20, touches="schedule", bases=COSINE)
def plateau_of_the_wrong_sign(s: Source) -> Source:
    """Lowers the rate when accuracy does not fall."""
    s = schedule(s.drop(STEP), "{optim}.lr_scheduler.ReduceLROnPlateau({optimizer}, mode='min', patience=3)")
    return s.after("{validate}", "{scheduler}.step({val_metric})")


@fault("C03", tier=1, cost=15, touches="schedule", bases=COSINE)
def rate_halved_every_epoch(s: Source) -> Source:
    """The rate is gone before a tenth of the training has passed."""
    return schedule(s, "{optim}.lr_scheduler.StepLR({optimizer}, step_size=1, gamma=0.5)")


@fault("C22", tier=1, cost=20, touches="budget", bases=COSINE, also=("C35",))
def three_epochs(s: Source) -> Source:
    """Three epochs for a network that needs dozens."""
    return s.set("epochs", 3)


@fault("C22", tier=1, cost=5, touches="budget", bases=("vgg", "resnet18"), styles=("plain", "classes"))
def impatient_stopping(s: Source) -> Source:
    """Stops after two epochs without a record, long before the rate falls."""
    best = "best_acc" if s.style.name == "plain" else "self.best_acc"
    bad = "bad_epochs" if s.style.name == "plain" else "self.bad_epochs"
    s = s.after(f"{best} = 0.0", f"{bad} = 0").after(f"{best} = val_acc", f"{bad} = 0")
    last = 'torch.save(model.state_dict(), "best.pth")'
    if s.style.name == "classes":
        last = "self.best_state = copy.deepcopy(self.model.state_dict())"
    return s.sub(
        rf"^([ \t]*)    {re.escape(last)}\n",
        lambda m: f"{m[0]}{m[1]}else:\n{m[1]}    {bad} += 1\n{m[1]}    if {bad} >= 2:\n{m[1]}        break\n",
    )


@fault("C23", tier=2, cost=8, touches="batch", bases=("resnet9", "resnet18"), also=("C22", "C04"))
def batches_of_4096(s: Source) -> Source:
    """Eleven steps an epoch, at the rate that suited small batches."""
    return s.set("batch", 4096)


@fault("C20", tier=2, cost=30, touches="loop", bases=(*SCRATCH, "finetune"))
def gradients_never_cleared(s: Source) -> Source:
    """No `zero_grad`: every step takes all gradients so far."""
    return s.drop("{zero}")


@fault("C20", tier=2, cost=80, touches="loop", bases=("resnet9", "vgg", "vit"), also=("C13",))
def no_step(s: Source) -> Source:
    """Gradients are computed and never applied."""
    return s.drop("{optimizer}.step()")


@fault("C20", tier=2, cost=80, touches="loop", bases=("resnet18", "mobilenet", "finetune"), also=("C13",))
def cleared_before_the_step(s: Source) -> Source:
    """`zero_grad` stands between `backward` and `step`."""
    return s.drop("{zero}").after("loss.backward()", "{zero}")


@fault("C33", tier=2, cost=10, touches="loop", bases=("resnet9", "resnet18", "vgg"), also=("C04",))
def clipped_to_a_hundredth(s: Source) -> Source:
    """Gradients are cut to a norm of 0.01 at every step."""
    return s.before("{optimizer}.step()", "torch.nn.utils.clip_grad_norm_({model}.parameters(), 0.01)")


@fault("C33", tier=2, cost=80, touches="loss", bases=("resnet9", "mobilenet"), also=("C21", "C15", "C04"))
def logarithm_of_zero(s: Source) -> Source:
    """A loss by hand that takes the logarithm of probabilities rounded to zero."""
    return s.line(
        "loss = {criterion}({outputs}, {labels})",
        "probabilities = F.softmax({outputs} * 100, dim=1)\n"
        "loss = -(F.one_hot({labels}, 10) * torch.log(probabilities)).sum(dim=1).mean()",
    )


@fault("C15", tier=2, cost=4, touches="head", bases=SOFTMAX)
def softmax_in_the_network(s: Source) -> Source:
    """Softmax, and then a loss that applies it again."""
    return s.line("return self.head(x)", "return F.softmax(self.head(x), dim=1)")


@fault("C15", tier=2, cost=4, touches="loss", bases=("vgg", "finetune", "vit"))
def softmax_in_the_loop(s: Source) -> Source:
    """Probabilities go into cross-entropy."""
    return s.swap("{criterion}({outputs}, {labels})", "{criterion}(F.softmax({outputs}, dim=-1), {labels})")


@fault("C15", tier=2, cost=4, touches="head", bases=("resnet18", "vgg"))
def sigmoid_before_cross_entropy(s: Source) -> Source:
    """Each logit is squeezed into 0 to 1 first."""
    return s.line("return self.head(x)", "return torch.sigmoid(self.head(x))")


@fault("C15", tier=2, cost=80, touches="loss", bases=("resnet9", "resnet18", "finetune"), also=("C33", "C21"))
def nll_of_logits(s: Source) -> Source:
    """`NLLLoss` of raw logits: it falls for ever."""
    return s.swap("nn.CrossEntropyLoss()", "nn.NLLLoss()")


@fault("C06", tier=3, cost=1.5, touches="optimizer", bases=("resnet18", "mobilenet", "vgg"))
def decay_never_passed(s: Source) -> Source:
    """Weight decay is declared and reaches no optimizer."""
    return s.swap(", weight_decay={decay}", "")


@fault("C06", tier=3, cost=1.5, touches="optimizer", bases=("resnet9", "resnet18", "vgg"))
def no_decay(s: Source) -> Source:
    """No weight decay at all."""
    return s.swap(", weight_decay={decay}", "").undeclare("decay")


@fault("C07", tier=3, cost=4, touches="optimizer", bases=("resnet18", "vgg"), also=("C06",))
def momentum_never_passed(s: Source) -> Source:
    """Momentum is declared and reaches no optimizer; a one-cycle schedule would set it, so that none lacks."""
    return s.swap(", momentum={momentum}", "")


@fault("C07", tier=3, cost=4, touches="optimizer", bases=("resnet18", "vgg", "finetune"))
def no_momentum(s: Source) -> Source:
    """Plain SGD."""
    return s.swap(", momentum={momentum}", "").undeclare("momentum")


@fault("C07", tier=3, cost=1.5, touches="optimizer", bases=("resnet18", "mobilenet", "vgg"))
def adam_with_l2(s: Source) -> Source:
    """Adam whose decay goes through its gradients, for a residual network."""
    s = optimizer(s, "{optim}.Adam({model}.parameters(), lr={rate}, weight_decay={decay})")
    return s.undeclare("momentum").set("rate", 0.001)
