"""The panel in Slicer's window; the one part that knows Qt."""
