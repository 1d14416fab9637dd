"""Customer context: who a customer is, what they did, and what an agent needs to know about them."""
