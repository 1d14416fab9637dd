"""Diagnosis: the doctor's findings, the invariants of the state, and the skill coverage of the agents."""
