"""Matching: eligibility, selection rules, and the search for pairs of waiting contacts and free agents."""
