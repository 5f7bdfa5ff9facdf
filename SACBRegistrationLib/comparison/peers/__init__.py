"""How each of the other programs is run: one module each, imported only in that program's own process."""
