"""A trial: fewer images and epochs, everything else as the program has it, drawn alike for every variant."""

EVAL_AT_THE_END = "    print(right / len(test_loader.dataset))\n"


def test_images_and_epochs_are_cut_and_the_program_s_own_figure_is_read(attempt, tiny):
    done = attempt(tiny)
    assert done["problem"] == ""
    assert (done["images"], done["evaluated"], done["steps"]) == (128, 3 * 40, 4)
    assert done["rounds"] == 12
    assert 0 < done["own"] <= 100
    assert done["classes"] == 4


def test_the_same_trial_gives_the_same_figure_and_another_seed_another(attempt, tiny):
    figures = [attempt(tiny, seed=seed, images=320, stop=3)["training"] for seed in (0, 0, 1, 2)]
    assert figures[0] == figures[1]
    assert len(set(figures)) > 1


def test_a_seed_of_the_program_s_own_does_not_make_all_trials_one(attempt, tiny):
    text = "import torch\ntorch.manual_seed(3)\n" + tiny
    figures = [attempt(text, seed=seed, images=320, stop=3)["training"] for seed in range(3)]
    assert len(set(figures)) > 1


def test_smaller_batches_are_those_of_training_alone(attempt, tiny):
    done = attempt(tiny, batch=16, stop=1)
    assert done["steps"] == 4


def test_a_batch_larger_than_its_images_is_no_batch_less(attempt, tiny):
    text = tiny.replace("shuffle=True", "shuffle=True, drop_last=True")
    assert attempt(text, images=16, stop=1)["steps"] == 1


def test_a_program_that_ends_by_itself(attempt, tiny):
    done = attempt(tiny.replace("epochs = 12", "epochs = 2"), stop=0)
    assert (done["images"], done["rounds"]) == (128, 2)


def test_validation_on_training_images_is_no_gain(attempt, tiny):
    """The figure that is compared cannot be had, since no test images are known; it says whose it is."""
    text = tiny.replace("DataLoader(Patterns(200, False), batch_size=50)", "DataLoader(Patterns(640, True), 50)")
    assert attempt(text)["figure_of"] == "its own evaluation"
    assert attempt(tiny)["figure_of"] == "test images"


def test_images_that_the_loop_changes_are_left_to_the_program(attempt, tiny):
    text = tiny.replace("sum((model(x)", "sum((model(2 * x)")
    done = attempt(text)
    assert (done["figure_of"], done["figure"]) == ("its own evaluation", done["own"])


def test_evaluation_in_training_mode_stays_so(attempt, tiny):
    """After four steps running statistics are far from the network's own; a fix by eval() must not look harmful."""
    faulty = attempt(tiny.replace("    model.eval()\n", ""), images=320, stop=1)
    mended = attempt(tiny, images=320, stop=1)
    assert abs(faulty["figure"] - mended["figure"]) < 15
    assert faulty["training"] == mended["training"]  # they train alike


def test_a_program_without_evaluation_is_evaluated(attempt, tiny):
    start = tiny.index("    model.eval()")
    text = tiny[:start] + "test_loader\n"
    done = attempt(text)
    assert (done["own"], done["figure_of"]) == (None, "test images")
    assert done["evaluated"] == 40


def test_what_fails_says_so(attempt, tiny):
    done = attempt(tiny + "\nraise ValueError('too bad')\n", stop=0)
    assert "raises ValueError: too bad" in done["problem"]
    assert done["figure"] is None
