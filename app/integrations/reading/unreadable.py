"""Why a document cannot be read."""


class UnreadableError(Exception):
    """The document cannot be read: a code and a sentence."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
