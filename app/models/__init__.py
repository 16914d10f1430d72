"""Words that all rooms share: rows as frozen dataclasses, wire shapes as Pydantic models."""
