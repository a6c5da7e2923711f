"""Faults of evaluation: modes, arithmetic, selection, checkpoints."""

from bases import NORMED
from operators import fault
from source import Source

TWO_SETS = ("plain", "classes")


@fault("C11", tier=1, cost=3, touches="mode", bases=NORMED, also=("C12", "C27", "C31"))
def evaluated_in_training_mode(s: Source) -> Source:
    """No `eval()`: norms use the test batch's statistics."""
    return s.drop("{model}.eval()")


@fault("C11", tier=1, cost=10, touches="mode", bases=NORMED)
def trained_in_evaluation_mode(s: Source) -> Source:
    """`train()` is never called again after the first evaluation."""
    return s.drop("{model}.train()")


@fault("C24", tier=3, cost=0.5, touches="metric", bases=("resnet18", "vgg", "vit", "finetune"))
def divided_by_batches(s: Source) -> Source:
    """Hits are divided by the number of batches."""
    return s.line("{result}", "{per_batch_result}")


@fault("C24", tier=3, cost=0.5, touches="metric", bases=("resnet9", "mobilenet"), styles=("classes",))
def divided_by_full_batches(s: Source) -> Source:
    """The last batch counts as full."""
    return s.line("{result}", "return 100.0 * correct / (len(loader) * 256)")


@fault("C25", tier=3, cost=0.3, touches="selection", bases=("resnet9", "resnet18", "mobilenet", "vit"), styles=TWO_SETS)
def chosen_on_the_test_set(s: Source) -> Source:
    """The epoch is chosen by its test accuracy, and that accuracy is reported."""
    return s.line("{validate}", "{eval_on_test}")


@fault("C19", tier=2, cost=80, touches="checkpoint", bases=("resnet9", "resnet18", "vgg", "mobilenet"), styles=TWO_SETS)
def checkpoint_that_matches_nothing(s: Source) -> Source:
    """Saved under other names, loaded with `strict=False` into a fresh network, then tested."""
    build = {"resnet9": "ResNet9()", "resnet18": "ResNet18()", "vgg": "VGG()", "mobilenet": "MobileNet()"}[s.base]
    if s.style.name == "plain":
        s = s.line(
            'torch.save(model.state_dict(), "best.pth")',
            'torch.save({{"module." + name: value for name, value in model.state_dict().items()}}, "best.pth")',
        )
        return s.line(
            'model.load_state_dict(torch.load("best.pth", map_location=device))',
            f"model = {build}.to(device)\n"
            'model.load_state_dict(torch.load("best.pth", map_location=device), strict=False)',
        )
    s = s.line(
        "self.best_state = copy.deepcopy(self.model.state_dict())",
        'self.best_state = {{"module." + name: value.clone() for name, value in self.model.state_dict().items()}}',
    )
    return s.line(
        "self.model.load_state_dict(self.best_state)",
        "self.model = build_model().to(self.device)\nself.model.load_state_dict(self.best_state, strict=False)",
    )
