"""Registering and measuring many pairs, each in a process of its own, with means, tables and pictures."""
