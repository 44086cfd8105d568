"""Gradient checks as a tool, for our layers and for yours.

    from minigan.gradcheck import check_layer
    print(check_layer(MyLayer(), in_shape=(5, 7, 3)))        # backward, and double_backward where there is one
    check_layer(MyLayer(), in_shape=(5, 7, 3)).require()     # in a test: raises where it is wrong

`check_loss` does the same for a pair of losses, `check_update` for a whole G or D step, `check_function` for anything.
"""

from .checks import check_against_first_order, check_layer, check_loss, check_update
from .directional import TOLERANCE, Evaluation, GradientError, Report, check_function, relative_error

__all__ = [
    "TOLERANCE",
    "Evaluation",
    "GradientError",
    "Report",
    "check_against_first_order",
    "check_function",
    "check_layer",
    "check_loss",
    "check_update",
    "relative_error",
]
