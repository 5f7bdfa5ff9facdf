"""Measures of how good a registration is."""
