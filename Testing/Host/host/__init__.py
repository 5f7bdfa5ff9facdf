"""The parts of the test host; slicer_host.py is the way in."""
