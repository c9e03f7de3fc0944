"""The one exception that a user's mistake may raise."""


class UserError(Exception):
    """A mistake in what was given: its text says what was expected, what came and what to do."""
