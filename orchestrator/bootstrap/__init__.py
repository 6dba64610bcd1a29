"""
Builds the parts from the settings, and runs each process: the only place that does.

One module for those that load the same: no process imports what only others need.
"""
