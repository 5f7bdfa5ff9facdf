"""Volumes, transforms and cluster maps between SimpleITK and MRML; the one part that knows Slicer."""
