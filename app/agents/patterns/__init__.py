"""The ways to run an agent, one file each."""
