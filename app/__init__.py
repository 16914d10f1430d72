"""Sixlane: a self-hosted AI agent platform.

Every door writes a run into the ledger, one executor runs it, every exit reads the ledger.
"""

__version__ = "0.1.0"
