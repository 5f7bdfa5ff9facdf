"""Other registration programs on the same pairs, machine and threads as this one."""
