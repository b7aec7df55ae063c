"""How good a network is: the results of a run."""
