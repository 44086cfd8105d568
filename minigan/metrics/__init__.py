"""How good samples are, in numbers."""

from .modes import ModeScores, mode_scores

__all__ = ["ModeScores", "mode_scores"]
