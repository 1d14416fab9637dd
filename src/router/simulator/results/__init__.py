"""Results of simulations: statistics of runs, reports, comparisons of policies, and charts."""
