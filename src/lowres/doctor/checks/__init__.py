"""The checks, one file a theme. Importing this package registers them; a plug-in's module does the same.

AR: the network. DA: data. LR: rate and schedule. LO: loss. EV: evaluation. TR: the training loop and its budget.
"""

from importlib.metadata import entry_points

from lowres.doctor.checks import (  # noqa: F401 - each registers its checks
    architecture,
    budget,
    capacity,
    data,
    evaluation,
    honesty,
    horizon,
    labels,
    loop,
    loss,
    norms,
    optimizer,
    parameters,
    rate,
    schedule,
    splits,
)

for plugin in entry_points(group="lowres.checks"):
    plugin.load()
