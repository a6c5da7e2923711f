"""Training: the loop, and the optimizers, schedules and placement it is given."""
