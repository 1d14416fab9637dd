"""Demonstration of the router over real connections: one customer's story, then a small generated contact centre.

The story shows the requests and answers of a customer from a failed payment in an app to the same agent two days later, and checks
each statement. The centre is a load test with a generated day; afterwards the demo prints how to submit a contact by hand, and the
simulated agents stay connected to answer it. See ``docs/tutorial/demo.md``.
"""
