"""Wait estimates: when a contact will be answered, and what events teach about it."""
