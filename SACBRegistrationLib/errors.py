"""Errors the library raises on purpose."""


class UserError(Exception):
    """A mistake the user can mend; the message is one sentence saying what is wrong and what to do.

    The command line prints the message without a traceback and exits with 2.
    """


class CancelledError(Exception):
    """The caller's cancel event was set; nothing has been written."""
