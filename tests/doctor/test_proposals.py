"""What fixes set, in figures."""

from lowres.doctor.findings import Edit, Fix
from lowres.doctor.proposals import of_batches, of_sgd
from lowres.doctor.setup import Setup


def replaced(*codes):
    return [Edit("replaced", line, 0, line, 5, code) for line, code in enumerate(codes, start=1)]


def test_figures_are_read_from_edits_wherever_the_value_stands():
    keywords = [Edit("keyword", 9, 0, 9, 5, "5e-4", "weight_decay"), Edit("keyword_removed", 9, 0, 9, 5, "", "betas")]
    fix = Fix("SGD with momentum", edits=(*replaced("torch.optim.SGD", "0.1"), *keywords))
    assert of_sgd(Setup("x"), fix) == {"optimizer": "SGD", "lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}
    assert of_batches(Fix("batches", edits=(*replaced("128", "0.2"),)), 128) == {"batch_size": 128, "lr": 0.2}
    assert of_batches(Fix("batches", code="batch_size=128"), 128) == {"batch_size": 128}


def test_findings_say_what_they_propose(observe, program):
    text = program().replace("lr=0.1, momentum=0.9", "lr=RATE")
    text = text.replace("EPOCHS = 12", "EPOCHS = 12\nRATE = 5.0\nlabel_smoothing = 0.1")
    said = {one.code: one.evidence.get("proposed") for one in observe(text).findings}
    assert 0 < said["LR101"].pop("lr") < 1
    assert said["LR101"] == {}
    assert said["TR505"] == {"label_smoothing": 0.1}
