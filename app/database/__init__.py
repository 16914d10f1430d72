"""The ledger: PostgreSQL, the only truth."""
