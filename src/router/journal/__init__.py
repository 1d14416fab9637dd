"""The memory of the house: records of events, durable before anybody hears of them."""
