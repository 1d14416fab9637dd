"""Snapshots of a workspace: the state as bytes, in one go or in pieces."""
