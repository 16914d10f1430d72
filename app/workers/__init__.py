"""Doors without HTTP: the ARQ worker, the clock and the sweeper."""
