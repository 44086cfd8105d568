"""From networks and data to a finished run.

Read `updates` first (one update of each player, on one screen), then `algorithm` (what a preset's updates are),
`adversarial` (those of a GAN), `trainer` (the players, step by step) and `loop`.
"""
