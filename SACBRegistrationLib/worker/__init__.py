"""A registration in a process of its own: what it gets, what it says, and how it is started and ended.

The side that starts it (everything but `main`, `execution`, `volumes` and `failures`) needs no torch.
"""
