"""The one exception that stands for a mistake of the user's."""


class UserError(Exception):
    """Something that the user can mend.

    The message is one line that names the file, the row or the flag, and the cure. Entry points print
    it as `error: …` and exit with status 2, without a traceback.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
