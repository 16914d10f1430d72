"""Doors and windows: parse, authenticate, call one service, shape the answer."""
