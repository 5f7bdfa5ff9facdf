"""Environment variables that make torch fast beside other programs; it reads them when first imported."""

TORCH_ENVIRONMENT = {
    # Threads that wait by spinning slow a run down several times on a machine that does other work too.
    "OMP_WAIT_POLICY": "PASSIVE",
}
