"""What watches a run: the console, the history file, the curves, TensorBoard.

An observer is any callable that takes one event of `lowres.training.events`. The loop calls them in the order
given; `Curves` draws what `History` has written, so `History` stands before it.
"""

from lowres.observers.console import Console
from lowres.observers.curves import Curves, draw_curves
from lowres.observers.history import History, read_history
from lowres.observers.tensorboard import TensorBoard

__all__ = ["Console", "Curves", "History", "TensorBoard", "draw_curves", "read_history"]
