"""Pictures of a registration for people; needs matplotlib (the cli extra)."""
