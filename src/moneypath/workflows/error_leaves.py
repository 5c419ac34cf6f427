"""The errors in a group of errors, as task groups raise them."""


def leaves(error: Exception) -> list[Exception]:
    """Return the errors of a group and of the groups in it, or the error itself."""
    if isinstance(error, ExceptionGroup):
        return [leaf for each in error.exceptions for leaf in leaves(each)]
    return [error]
