"""Authentication and authorization: keys, credentials, tickets and permissions."""
