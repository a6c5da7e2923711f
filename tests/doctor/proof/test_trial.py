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


def test_what_trains_in_evaluation_mode_is_evaluated_as_it_was_trained(attempt, tiny):
    """Its norms never took statistics: taken anew, they would make another network of it."""
    text = tiny.replace("    model.train()\n", "    model.eval()\n")
    done = attempt(text, images=320, stop=1)
    assert done["steps"] < 100
    assert done["figure"] == done["own"]


def test_frozen_norms_stay_as_they_are(attempt, tiny):
    frozen = tiny.replace("    model.train()\n", "    model.train()\n    model[1].eval()\n")
    done = attempt(frozen, images=320, stop=1)
    assert done["figure"] == done["own"]


def test_images_are_put_together_as_the_program_does(attempt, tiny):
    images, labels = "torch.stack([9 * x + 5 for x, _ in rows])", "torch.tensor([y for _, y in rows])"
    collate = f"def collate(rows):\n    return {images}, {labels}\n"
    text = tiny.replace("\nmodel = ", f"\n{collate}\nmodel = ").replace("_size=50", "_size=50, collate_fn=collate")
    text = text.replace("shuffle=True", "shuffle=True, collate_fn=collate")
    inside = tiny.replace("return self.images[i],", "return 9 * self.images[i] + 5,")
    figures = [attempt(one, images=320, stop=2)["figure"] for one in (text, inside)]
    assert figures[0] == figures[1]


def test_images_that_the_loop_changes_are_not_given_to_its_network_as_they_are(attempt, tiny):
    start = tiny.index("    model.eval()")
    done = attempt((tiny[:start] + "test_loader\n").replace("criterion(model(x)", "criterion(model(x / 9)"))
    assert (done["problem"], done["figure"]) == ("", None)


def test_a_last_batch_that_is_dropped_is_not_the_only_one(attempt, tiny):
    done = attempt(tiny.replace("batch_size=50", "batch_size=50, drop_last=True"), test=16, stop=1)
    assert done["evaluated"] >= 16
    assert done["own"] is not None


def test_a_training_that_was_cut_off_is_no_result(attempt, tiny):
    done = attempt(tiny.replace("epochs = 12", "epochs = 10**6"), stop=0, seconds=1)
    assert "took too long: it had 1 s of the processor" in done["problem"]
    assert done["figure"] is None


def test_programs_that_train_in_the_same_way_end_with_the_same_weights(attempt, tiny):
    first = attempt(tiny)["weights"]
    renamed = tiny.replace("model", "network").replace("shuffle=True", "shuffle=True, drop_last=False")
    assert len(first) == 24
    assert attempt(renamed)["weights"] == first
    others = (tiny.replace("lr=0.01", "lr=0.01001"), tiny.replace("shuffle=True", "shuffle=False"))
    assert all(attempt(text)["weights"] != first for text in others)
    assert attempt(tiny, seed=1)["weights"] != first
