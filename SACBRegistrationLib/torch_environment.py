"""Environment variables that make torch fast beside other programs; it reads them when first imported."""

TORCH_ENVIRONMENT = {
    # Threads that wait by spinning slow a run down several times on a machine that does other work too.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Linux hands out memory in pages of 2 MB instead of 4 KB: a third of a run's time was page faults.
    "THP_MEM_ALLOC_ENABLE": "1",
}
