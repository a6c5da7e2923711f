"""Look-alikes of faults of training, of the network and of evaluation."""

from faults_training import no_schedule, optimizer, schedule
from operators import twin
from source import Source

STEP = "{scheduler}.step()"


@twin("C15", bases=("resnet18", "vgg"))
def log_softmax_before_cross_entropy(s: Source) -> Source:
    """Log-softmax twice is log-softmax once."""
    return s.line("return self.head(x)", "return F.log_softmax(self.head(x), dim=1)")


@twin("C15", bases=("resnet9", "mobilenet"))
def log_softmax_and_nll(s: Source) -> Source:
    """The pair that belongs together."""
    s = s.line("return self.head(x)", "return F.log_softmax(self.head(x), dim=1)")
    return s.swap("nn.CrossEntropyLoss()", "nn.NLLLoss()")


@twin("C15", bases=("vgg", "resnet9"))
def label_smoothing(s: Source) -> Source:
    """A loss that cannot reach zero, by design."""
    return s.swap("nn.CrossEntropyLoss()", "nn.CrossEntropyLoss(label_smoothing=0.1)")


@twin("C02", bases=("resnet18",), styles=("plain",))
def constant_rate_averaged_weights(s: Source) -> Source:
    """A constant rate, and a moving average of the weights that is evaluated."""
    s = no_schedule(s).after(
        "model = model.to(device)",
        "averaged = torch.optim.swa_utils.AveragedModel(\n"
        "    model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.999), use_buffers=True\n"
        ")",
    )
    s = s.after("optimizer.step()", "averaged.update_parameters(model)").line("model.eval()", "averaged.eval()")
    s = s.sub(
        r"^            outputs = model\(images\)\n(?=            predicted)", "            outputs = averaged(images)\n"
    )
    return s.swap("model.state_dict()", "averaged.state_dict()").swap(
        "model.load_state_dict", "averaged.load_state_dict"
    )


@twin("C03", bases=("resnet18",))
def warm_restarts(s: Source) -> Source:
    """The rate climbs back by design, and ends near zero."""
    return schedule(s, "{optim}.lr_scheduler.CosineAnnealingWarmRestarts({optimizer}, T_0=40, T_mult=1)")


@twin("C03", bases=("mobilenet",))
def plateau(s: Source) -> Source:
    """Lowers the rate when validation accuracy stops rising."""
    s = schedule(
        s.drop(STEP), "{optim}.lr_scheduler.ReduceLROnPlateau({optimizer}, mode='max', factor=0.2, patience=8)"
    )
    return s.after("{validate}", "{scheduler}.step({val_metric})")


@twin("C02", bases=("vgg",), styles=("plain", "notebook"))
def rate_set_by_hand(s: Source) -> Source:
    """No scheduler; the loop writes the rate into the optimizer."""
    s = no_schedule(s)
    return s.after(
        "{loop}",
        "    for group in {optimizer}.param_groups:\n"
        "        group['lr'] = {rate} * 0.5 * (1 + np.cos(np.pi * epoch / {epochs}))",
    )


@twin("C02", bases=("resnet18",), styles=("classes",))
def warm_up_and_cosine_by_function(s: Source) -> Source:
    """A schedule given as a function of the epoch, with five epochs of warm-up."""
    return schedule(
        s,
        "{optim}.lr_scheduler.LambdaLR(\n"
        "            {optimizer},\n"
        "            lambda e: (e + 1) / 5 if e < 5 else 0.5 * (1 + np.cos(np.pi * (e - 5) / ({epochs} - 5))),\n"
        "        )",
    )


@twin("C07", bases=("resnet18", "mobilenet"))
def adamw(s: Source) -> Source:
    """AdamW has no momentum argument to forget."""
    s = optimizer(s, "{optim}.AdamW({model}.parameters(), lr={rate}, weight_decay={decay})")
    return s.undeclare("momentum").set("rate", 0.001).set("decay", 0.05)


@twin("C06", bases=("resnet18", "vgg"))
def no_decay_of_norms(s: Source) -> Source:
    """Norms and biases are left out of the decay."""
    return optimizer(
        s,
        "{optim}.SGD([{{'params': [p for p in {model}.parameters() if p.ndim > 1]}}, "
        "{{'params': [p for p in {model}.parameters() if p.ndim <= 1], 'weight_decay': 0.0}}], "
        "lr={rate}, momentum={momentum}, weight_decay={decay})",
    )


@twin("C06", bases=("resnet9",), styles=("plain",))
def decay_in_the_loss(s: Source) -> Source:
    """L2 is added to the loss by hand."""
    s = s.swap(", weight_decay={decay}", "")
    return s.after(
        "loss = {criterion}({outputs}, {labels})",
        "loss = loss + 0.5 * {decay} * sum((p**2).sum() for p in {model}.parameters() if p.ndim > 1)",
    )


@twin("C07", bases=("vgg",), styles=("notebook",))
def momentum_by_position(s: Source) -> Source:
    """Arguments by position: rate, then momentum."""
    return s.swap("lr={rate}, momentum={momentum}", "{rate}, {momentum}")


@twin("C20", bases=("resnet18",), styles=("plain", "classes"))
def gradients_accumulated(s: Source) -> Source:
    """Two batches of half the size a step."""
    half = s.set("batch", 64).drop("{zero}")
    half = half.swap("loss = {criterion}({outputs}, {labels})", "loss = {criterion}({outputs}, {labels}) / 2")
    half = half.line("{optimizer}.step()", "if (step + 1) % 2 == 0:\n    {optimizer}.step()\n    {zero}")
    return half.swap(
        "for {images}, {labels} in {train_loader}:", "for step, ({images}, {labels}) in enumerate({train_loader}):"
    )


@twin("C20", bases=("vgg",))
def cleared_after_the_step(s: Source) -> Source:
    """Gradients are cleared at the end of each round."""
    return s.drop("{zero}").after("{optimizer}.step()", "{zero}")


@twin("C20", bases=("mobilenet",), styles=("plain",))
def cleared_by_the_model(s: Source) -> Source:
    """`model.zero_grad()` in the place of the optimizer's."""
    return s.line("{zero}", "{model}.zero_grad()")


@twin("C33", bases=("resnet9", "vit"))
def clipped_at_one(s: Source) -> Source:
    """Clipping that seldom acts."""
    return s.before("{optimizer}.step()", "torch.nn.utils.clip_grad_norm_({model}.parameters(), 5.0)")


@twin("C33", bases=("resnet18",), styles=("plain",))
def mixed_precision_where_there_is_cuda(s: Source) -> Source:
    """Autocast and a scaler, both enabled on CUDA alone."""
    s = s.after(
        "{optimizer} = optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)",
        'scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")',
    )
    s = s.sub(
        r"^        outputs = model\(images\)\n        loss = (.*)\n",
        '        with torch.autocast(device.type, dtype=torch.float16, enabled=device.type == "cuda"):\n'
        "            outputs = model(images)\n            loss = \\1\n",
    )
    return s.line("loss.backward()", "scaler.scale(loss).backward()").line(
        "{optimizer}.step()", "scaler.step({optimizer})\nscaler.update()"
    )


@twin("C13", bases=("finetune",))
def linear_probe(s: Source) -> Source:
    """Pretrained features are frozen on purpose, norms included; the head alone learns."""
    s = s.before(
        "{net}.fc = nn.Linear({net}.fc.in_features, 10)", "for p in {net}.parameters():\n    p.requires_grad = False"
    )
    s = s.swap("({model}.parameters(), lr=", "({model}.fc.parameters(), lr=")
    s = s.line("{model}.train()", "{model}.eval()  # the frozen norms keep their statistics\n{model}.fc.train()")
    return s.set("rate", 0.05)


@twin("C13", bases=("finetune",), styles=("plain",))
def first_stages_frozen(s: Source) -> Source:
    """The first stages of a pretrained network stay as they are."""
    return s.after(
        "{net}.fc = nn.Linear({net}.fc.in_features, 10)",
        "for part in (model.conv1, model.bn1, model.layer1):\n"
        "    for p in part.parameters():\n"
        "        p.requires_grad = False",
    )


@twin("C04", bases=("finetune",), styles=("classes",))
def rates_by_depth(s: Source) -> Source:
    """A tenth of the rate for what was pretrained."""
    return optimizer(
        s,
        "{optim}.SGD([{{'params': {model}.fc.parameters()}}, "
        "{{'params': [p for n, p in {model}.named_parameters() if not n.startswith('fc')], 'lr': {rate} / 10}}], "
        "lr={rate}, momentum={momentum}, weight_decay={decay})",
    )


@twin("C12", bases=("resnet18",), styles=("plain",))
def group_norm_small_batches(s: Source) -> Source:
    """Batches of eight, and norms that do not mind."""
    s = s.sub(r"nn\.BatchNorm2d\((\w+)\)", r"nn.GroupNorm(8, \1)", None)
    return s.set("batch", 8).set("rate", 0.01)


@twin("C11", bases=("resnet9",), styles=("classes",))
def mode_by_argument(s: Source) -> Source:
    """`train(False)` is `eval()`."""
    return s.line("{model}.eval()", "{model}.train(False)")


@twin("C11", bases=("vgg",), styles=("plain",))
def mode_restored_after_evaluation(s: Source) -> Source:
    """`train()` once before the loop; evaluation gives back the mode it found."""
    s = s.drop("model.train()").line("model.eval()", "was_training = model.training\nmodel.eval()")
    return s.before("return 100.0 * correct / total", "model.train(was_training)")


@twin("C27", bases=("vgg",), styles=("plain",))
def monte_carlo_dropout(s: Source) -> Source:
    """Dropout stays on at test on purpose: ten predictions are averaged."""
    s = s.after(
        "model.eval()", "for module in model.modules():\n    if isinstance(module, nn.Dropout):\n        module.train()"
    )
    return s.sub(
        r"^            outputs = model\(images\)\n(?=            predicted)",
        "            outputs = torch.stack([model(images).softmax(dim=1) for _ in range(10)]).mean(dim=0)\n",
    )


@twin("C27", bases=("resnet18",), styles=("notebook",))
def functional_dropout_told_the_mode(s: Source) -> Source:
    """`F.dropout` with `training=self.training`."""
    return s.before("return self.head(x)", "x = F.dropout(x, 0.2, training=self.training)")


@twin("C19", bases=("resnet18",), styles=("plain",))
def checkpoint_with_more_in_it(s: Source) -> Source:
    """A checkpoint with more in it than weights, read back strictly."""
    s = s.line(
        'torch.save(model.state_dict(), "best.pth")',
        'torch.save({{"model": model.state_dict(), "epoch": epoch}}, "best.pth")',
    )
    return s.line(
        'model.load_state_dict(torch.load("best.pth", map_location=device))',
        'model.load_state_dict(torch.load("best.pth", map_location=device)["model"])',
    )


@twin("C24", bases=("resnet9",), styles=("plain",))
def errors_in_place_of_hits(s: Source) -> Source:
    """Counts errors and subtracts them."""
    s = s.line("{count}", "correct += labels.size(0) - (predicted != labels).sum().item()")
    return s.line("{result}", "return 100.0 - 100.0 * (total - correct) / total")
