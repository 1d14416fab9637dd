"""Records of ended contacts: made from the event feed, stored beside the journal, searched and exported."""
