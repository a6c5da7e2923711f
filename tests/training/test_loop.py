import copy

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lowres.data import Augmentation, Batches
from lowres.errors import UserError
from lowres.training.averaging import ema
from lowres.training.events import EpochDone, Stepped
from lowres.training.loop import Diverged, fit

IMAGES = torch.randint(0, 256, (60, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(60) % 5


def batches(**changes) -> Batches:
    return Batches(IMAGES, LABELS, 12, **{"mean": (0.5,) * 3, "std": (0.25,) * 3, "seed": 3, **changes})


def nothing(model: nn.Module) -> tuple[float, float]:
    return 0.0, 0.0


def weights(learner) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in learner.model.parameters()])


def test_it_does_what_a_loop_written_by_hand_does(learner, plan):
    ours = learner()
    model = copy.deepcopy(ours.model)
    fit(ours, batches(), plan(label_smoothing=0.1), evaluate=nothing)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loader = batches()
    for _ in range(2):
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y, label_smoothing=0.1).backward()
            optimizer.step()
    assert torch.equal(weights(ours), torch.cat([p.detach().flatten() for p in model.parameters()]))


def test_the_record_of_an_epoch_is_right(learner, plan):
    seen: list[object] = []
    still = learner(lr=1e-12)
    fit(still, batches(), plan(epochs=1), evaluate=lambda model: (1.5, 42.0), emit=seen.append)
    record = seen[-1]
    assert isinstance(record, EpochDone)
    assert (record.epoch, record.loss, record.accuracy, record.evaluated_on) == (1, 1.5, 42.0, "test")
    x, y = next(iter(Batches(IMAGES, LABELS, 60, mean=(0.5,) * 3, std=(0.25,) * 3, shuffle=False)))
    logits = still.model(x)
    assert record.train_loss == pytest.approx(nn.functional.cross_entropy(logits, y).item(), rel=1e-5)
    assert record.train_accuracy == pytest.approx(100 * (logits.argmax(1) == y).float().mean().item())
    assert [type(event) for event in seen] == [Stepped, EpochDone]


def test_a_plain_dataloader_trains_and_resumes_to_the_same_weights(learner, plan):
    floats = TensorDataset(IMAGES.float() / 255, LABELS)
    whole, parts = learner(), learner()
    fit(whole, DataLoader(floats, batch_size=7, shuffle=True), plan(epochs=3, seed=5), evaluate=nothing)

    class Enough(Exception):
        pass

    def stop_after_one(learner, record):
        raise Enough

    with pytest.raises(Enough):
        fit(
            parts,
            DataLoader(floats, batch_size=7, shuffle=True),
            plan(epochs=3, seed=5),
            evaluate=nothing,
            keep=stop_after_one,
        )
    resumed = learner()
    resumed.load_state_dict(copy.deepcopy(parts.state_dict()))
    assert resumed.epoch == 1
    fit(resumed, DataLoader(floats, batch_size=7, shuffle=True), plan(epochs=3, seed=5), evaluate=nothing)
    assert torch.equal(weights(whole), weights(resumed))


def test_dropout_is_the_same_after_resuming(learner, plan):
    def dropping() -> nn.Module:
        model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(48, 5))
        with torch.no_grad():
            model[2].weight.fill_(0.01)
            model[2].bias.zero_()
        return model

    whole, first = learner(dropping()), learner(dropping())
    fit(whole, batches(), plan(epochs=2), evaluate=nothing)
    fit(first, batches(), plan(epochs=1), evaluate=nothing)
    torch.rand(17)  # somebody else's use of the generator in between
    second = learner(dropping())
    second.load_state_dict(first.state_dict())
    fit(second, batches(), plan(epochs=2), evaluate=nothing)
    assert torch.equal(weights(whole), weights(second))


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_accumulation_gives_the_gradient_of_the_whole_batch(learner, plan, parts):
    whole, accumulated = learner(), learner()
    fit(whole, batches(), plan(), evaluate=nothing)
    fit(accumulated, batches(), plan(accumulate=parts), evaluate=nothing)
    assert torch.allclose(weights(whole), weights(accumulated), atol=1e-6)


def test_a_step_without_a_finite_norm_is_left_out_by_every_optimizer(learner, plan):
    """A gradient that is no number, in what one of two optimizers has, makes the norm none, and the clipped others."""
    ours = learner()
    parameters = list(ours.model.parameters())
    ours.optimizers = [torch.optim.SGD(parameters[:1], lr=0.1), torch.optim.SGD(parameters[1:], lr=0.1)]
    for optimizer in ours.optimizers:
        optimizer.param_groups[0]["peak"] = 0.1
    ours.scaler = torch.amp.GradScaler("cpu", enabled=True)
    parameters[0].register_hook(lambda gradient: gradient * torch.nan)
    before = weights(ours).clone()
    one = [next(iter(batches()))]
    fit(ours, one, plan(epochs=1, clip=1.0), evaluate=nothing)
    assert torch.equal(weights(ours), before)
    assert ours.scaler.get_scale() < torch.amp.GradScaler("cpu").get_scale()


def test_the_gradient_is_clipped_to_the_norm(learner, plan):
    clipped = learner(lr=1.0)
    before = weights(clipped)
    one = Batches(IMAGES, LABELS, 60, mean=(0.5,) * 3, std=(0.01,) * 3)
    fit(clipped, one, plan(epochs=1, clip=0.02), evaluate=nothing)
    assert (weights(clipped) - before).norm().item() == pytest.approx(0.02, rel=1e-3)


def test_the_average_is_the_exponential_one_and_has_its_own_evaluation(learner, plan):
    averaging = learner()
    averaging.average = ema(averaging.model, 0.9)
    expected: list[torch.Tensor] = []

    class Watched(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

    original = averaging.average.update_parameters

    def update(model):
        now = weights(averaging)
        expected.append(now if not expected else 0.9 * expected[-1] + 0.1 * now)
        original(model)

    averaging.average.update_parameters = update
    records: list[EpochDone] = []
    fit(
        averaging,
        batches(),
        plan(epochs=1),
        evaluate=lambda model: (float(model is averaging.final), 0.0),
        keep=lambda learner, record: records.append(record),
    )
    found = torch.cat([p.flatten() for p in averaging.final.parameters()])
    assert torch.allclose(found, expected[-1], atol=1e-6)
    assert not torch.allclose(found, weights(averaging), atol=1e-4)
    assert (records[0].loss, records[0].average_loss) == (0.0, 1.0)


def test_mixed_labels_train(learner, plan):
    mixed = learner()
    before = weights(mixed)
    fit(mixed, batches(augmentation=Augmentation(crop=1, mixup=0.5)), plan(), evaluate=nothing)
    assert not torch.equal(weights(mixed), before)


@pytest.mark.parametrize("accumulate", [1, 4])
@pytest.mark.parametrize(("bad_epoch", "bad_step"), [(0, 0), (0, 3), (1, 2)])
def test_a_loss_that_is_not_a_number_is_found_at_its_step(learner, plan, bad_epoch, bad_step, accumulate):
    class Poisoned(Batches):
        def __iter__(self):
            for step, (x, y) in enumerate(super().__iter__()):
                poison = self.epoch == bad_epoch and step == bad_step
                yield (x * float("nan") if poison else x), y

    poisoned = Poisoned(IMAGES, LABELS, 12, mean=(0.5,) * 3, std=(0.25,) * 3)
    kept: list[int] = []
    step = bad_epoch * 5 + bad_step + 1
    with pytest.raises(Diverged, match=rf"step {step} \(epoch {bad_epoch + 1}\).*lower --optimizer.lr"):
        fit(
            learner(),
            poisoned,
            plan(accumulate=accumulate),
            evaluate=nothing,
            keep=lambda learner, record: kept.append(record.epoch),
        )
    assert kept == list(range(1, bad_epoch + 1))


def test_weights_thrown_out_by_the_last_step_are_not_kept(learner, plan):
    thrown = learner(lr=1e38)
    one = Batches(IMAGES, LABELS, 60, mean=(0.5,) * 3, std=(1e-3,) * 3)
    with pytest.raises(Diverged, match="not finite after step 1"):
        fit(thrown, one, plan(epochs=1), evaluate=nothing, keep=lambda learner, record: pytest.fail("kept"))


def test_a_compiled_network_that_has_no_length_trains(learner, plan):
    class Compiled(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def __len__(self):
            raise TypeError("Network does not support len()")

        def forward(self, x):
            return self.inner(x)

    plainly, compiled = learner(), learner()
    compiled.forward = Compiled(compiled.model)
    for one in (plainly, compiled):
        fit(one, batches(), plan(), evaluate=nothing)
    assert torch.equal(weights(plainly), weights(compiled))


def test_a_run_goes_on_with_images_laid_out_otherwise(learner, plan):
    def network():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 5))

    first, second = learner(network()), learner(network().to(memory_format=torch.channels_last))
    fit(first, batches(), plan(), evaluate=nothing)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    kernel = second.model[0].weight
    momentum = second.optimizers[0].state[kernel]["momentum_buffer"]
    assert momentum.stride() == kernel.stride() != first.model[0].weight.stride()
    assert torch.equal(momentum, first.optimizers[0].state[first.model[0].weight]["momentum_buffer"])


def test_an_empty_loader_is_refused(learner, plan):
    with pytest.raises(UserError, match="gave no batch"):
        fit(learner(), DataLoader(TensorDataset(IMAGES[:0], LABELS[:0])), plan(), evaluate=nothing)


def test_an_iterator_that_is_used_up_is_refused(learner, plan):
    class Once(list):
        def __iter__(self):
            taken, self[:] = list(super().__iter__()), []
            return iter(taken)

    once = Once((x, y) for x, y in batches())
    with pytest.raises(UserError, match="used up"):
        fit(learner(), once, plan(), evaluate=nothing)


@pytest.mark.parametrize(("every", "evaluated"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4]), (0, [])])
def test_only_every_so_many_epochs_are_evaluated(learner, plan, every, evaluated):
    records: list[EpochDone] = []
    fit(
        learner(),
        batches(),
        plan(epochs=5, evaluate_every=every),
        evaluate=lambda model: (0.5, 50.0),
        keep=lambda learner, record: records.append(record),
    )
    assert [r.epoch for r in records if r.accuracy is not None] == evaluated
    assert all((r.accuracy, r.loss) == (None, None) for r in records if r.epoch not in evaluated)
