"""The health monitor: measures a run as it goes, and says in plain words when it shows a known failure.

`monitor` measures (`layers`, `discriminator`, `diversity`); `diagnosis` holds the measurements against the failures
that are known (`failures`, `alarms`), each with what usually helps (`cures`). What they mean for a user stands in
docs/when-training-fails.md.
"""
