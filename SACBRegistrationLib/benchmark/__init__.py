"""How long a registration takes and how much memory it needs, beside the computation as it was published."""
