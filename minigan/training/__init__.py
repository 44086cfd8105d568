"""From networks and data to a finished run.

Read `updates` first (one update of each player, on one screen), then `trainer` (the state of a game) and `loop`.
"""
