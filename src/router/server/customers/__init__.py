"""Customers of live contacts: the facts that decide, and the cards that agents see."""
