"""Stand-in for Slicer's translation functions: every text stays English."""

FILEPATH_TO_CONTEXT = {}


def translate(context, text):
    """Returns the text."""
    return text


def getContext(sourceFile):
    """Returns the name translations of a file go by."""
    return FILEPATH_TO_CONTEXT.get(sourceFile, sourceFile)


def tr(text):
    """Returns the text."""
    return text
