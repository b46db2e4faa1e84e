"""The one kind of error that is shown to people as it is: a sentence, without a traceback."""


class UserError(Exception):
    """Something that the person at the terminal can put right.

    The message says what happened, where, and what to do; `exit_code` is the process's.
    """

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        """Hold the message for people and the exit code for scripts."""
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
