"""The exception for errors that the user can fix."""


class UserError(Exception):
    """An error in the user's input. Its message is one sentence: expected, got, what to do."""
