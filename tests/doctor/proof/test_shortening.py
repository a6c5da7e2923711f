"""Programs with fewer epochs: the number is found under its names, and schedules keep their shape."""

import pytest

from lowres.doctor.proof.shortening import shorten, shorten_arguments

LOOP = "for epoch in range({}):\n    for x in loader:\n        step(x)\n"
PLACES = {
    "in the loop": LOOP.format("20"),
    "a name": "epochs = 20\n" + LOOP.format("epochs"),
    "another name": "rounds = 20\n" + LOOP.format("1, rounds + 1"),
    "several names": "lr, n_epochs = 0.1, 20\n" + LOOP.format("n_epochs"),
    "an option": "parser.add_argument('--num-epochs', type=int, default=20)\n" + LOOP.format("args.num_epochs"),
    "an entry": "config = {'lr': 0.1, 'epochs': 20}\n" + LOOP.format("config['epochs']"),
    "a field": "class Config:\n    epochs: int = 20\n" + LOOP.format("Config.epochs"),
    "an argument": "train(model, epochs=20)\n",
    "a default": "def train(model, epochs=20):\n    pass\n",
    "a while": "epoch = 0\nwhile epoch < 20:\n    train()\n    epoch += 1\n",
    "behind a form feed": "x = 1\n\f\nepochs = 20\n" + LOOP.format("epochs"),
    "behind umlauts": "print('ä'); epochs = 20\n" + LOOP.format("epochs"),
}


@pytest.mark.parametrize("place", PLACES)
def test_the_number_of_epochs_is_found(place):
    short = shorten(PLACES[place], 20, 3)
    assert short.found
    assert short.text == PLACES[place].replace("20", "3")


ELSEWHERE = ("size = 20\n", "Linear(20, 10)\n", "for i in range(5):\n    train(20)\n", "x = [i for i in range(20)]\n")


@pytest.mark.parametrize("text", ELSEWHERE)
def test_the_same_number_elsewhere_stays(text):
    short = shorten(text + "epochs = 20\n", 20, 3)
    assert short.text == text + "epochs = 3\n"


def test_times_of_schedules_are_scaled_and_faults_keep_their_proportion():
    head = "epochs = 100\n"
    lines = {
        "MultiStepLR(opt, milestones=[50, 75], gamma=0.1)": "MultiStepLR(opt, milestones=[5, 8], gamma=0.1)",
        "lr_scheduler.CosineAnnealingLR(opt, 200)": "lr_scheduler.CosineAnnealingLR(opt, 20)",
        "CosineAnnealingLR(opt, T_max=100)": "CosineAnnealingLR(opt, T_max=10)",
        "CosineAnnealingLR(opt, T_max=epochs * len(loader))": "CosineAnnealingLR(opt, T_max=epochs * len(loader))",
        "StepLR(opt, 3, gamma=0.5)": "StepLR(opt, 1, gamma=0.5)",
        "OneCycleLR(opt, max_lr=100, epochs=100, steps_per_epoch=7)": (
            "OneCycleLR(opt, max_lr=100, epochs=10, steps_per_epoch=7)"
        ),
    }
    for before, after in lines.items():
        assert shorten(head + before + "\n", 100, 10).text == "epochs = 10\n" + after + "\n"


def test_command_lines_are_shortened():
    words = ["--lr", "20", "--epochs", "20", "--n_epochs=20", "--batch=20"]
    assert shorten_arguments(words, 20, 2) == ["--lr", "20", "--epochs", "2", "--n_epochs=2", "--batch=20"]


def test_times_behind_names_are_scaled():
    text = """
epochs, lr = 100, 0.1
epochs = 100
warmup_epochs = 10
warm = LinearLR(optimizer, 0.01, total_iters=warmup_epochs)
cosine = CosineAnnealingLR(optimizer, T_max=epochs - warmup_epochs)
scheduler = SequentialLR(optimizer, [warm, cosine], milestones=[warmup_epochs])
batches = 391
other = StepLR(optimizer, step_size=3 * batches)
for epoch in range(epochs):
    train()
"""
    short = shorten(text, 100, 20).text
    assert "epochs = 20\nwarmup_epochs = 2\n" in short
    assert "batches = 391\n" in short


def test_a_time_of_the_whole_training_in_batches_is_scaled_by_batches():
    text = "s = OneCycleLR(optimizer, 0.1, total_steps=7820)\nm = MultiStepLR(optimizer, milestones=[10, 150])\n"
    short = shorten(text, 20, 2, (7820, 34)).text
    assert "total_steps=34)" in short
    assert "milestones=[1, 15])" in short
