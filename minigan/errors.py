"""The one exception that means "the user can mend this": the command line prints it as one line and exits with 2."""


class UserError(ValueError):
    """A mistake in what the user gave (flag, file, data set, checkpoint): one line, what was expected and what came."""
