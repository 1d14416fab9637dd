"""Wait estimates: when a contact will be answered, and the statistics from which this is estimated."""
