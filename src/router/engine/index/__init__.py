"""Routing index: finds the agents for a contact and the contacts for an agent without scanning."""
