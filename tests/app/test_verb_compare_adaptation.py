from lowres.runs import roads
from lowres.training.loop import Diverged


def test_roads_side_by_side_and_again_from_what_is_kept(lowres, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    words = ("compare-adaptation", "squeezenet1_1", "--data", "digits", "--image-size", 16, "--images", 128)
    words = (*words, "--test-images", 50, "--epochs", 1, "--upsample", 32, "--device", "cpu")
    done = lowres(*words, "--json")
    assert done.code == 0
    rows = {(row["name"], row["weights"]): row for row in done.json}
    assert set(rows) == {
        (road, weights) for road in ("as it is", "adapted", "upsampled to 32") for weights in ("scratch", "pretrained")
    }
    assert rows["adapted", "scratch"]["multiply_adds"] > 0
    assert len(rows["adapted", "scratch"]["accuracies"]) == 1
    assert "--download" in rows["adapted", "pretrained"]["reason"]  # never of its own accord
    assert "as it is, scratch, seed 0" not in done.out
    again = lowres(*words)
    assert again.code == 0
    assert "upsampled to 32" in again.out
    assert "not trained" in again.out


def test_networks_of_ours_need_no_adaptation(refused):
    assert "ImageNet network" in refused("compare-adaptation", "resnet20", "--data", "digits")
    assert "resnet18" in refused("compare-adaptation", "resnet118", "--data", "digits")


def test_what_no_road_can_take_is_told_before_the_first_is_trained(refused, tmp_path):
    words = ("compare-adaptation", "squeezenet1_1", "--data", "digits", "--out", tmp_path / "kept")
    assert "nothing.safetensors" in refused(*words, "--weights", "nothing.safetensors")
    assert "upsample is 3" in refused(*words, "--upsample", 3)
    assert not (tmp_path / "kept").exists()


def test_train_takes_an_imagenet_network_for_a_recipe(lowres):
    done = lowres(
        *("train", "squeezenet1_1", "--adapt", "--data", "digits", "--image-size", 8, "--batch-size", 700),
        *("--epochs", 1, "--device", "cpu", "--precision", "fp32"),
    )
    assert done.code == 0
    assert "features.0: Conv2d 3x3 /2 -> Conv2d 3x3" in done.out + done.err


def test_a_road_that_diverges_leaves_the_others_their_table(lowres, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    trained = roads.brief

    def brief(recipe, *arguments, **options):
        if recipe.adapt:
            raise Diverged("the loss is nan at step 3")
        return trained(recipe, *arguments, **options)

    monkeypatch.setattr(roads, "brief", brief)
    words = ("compare-adaptation", "squeezenet1_1", "--data", "digits", "--image-size", 16, "--images", 64)
    done = lowres(*words, "--test-images", 20, "--epochs", 1, "--upsample", 32, "--device", "cpu", "--json")
    assert done.code == 0
    rows = {row["name"]: row for row in done.json if row["weights"] == "scratch"}
    assert rows["adapted"]["reason"] == "seed 0: the loss is nan at step 3"
    assert len(rows["upsampled to 32"]["accuracies"]) == 1
