"""Stand-ins for widgets of CTK and Slicer: real PySide6 widgets, with those members that Slicer has."""
