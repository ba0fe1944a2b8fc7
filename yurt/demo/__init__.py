"""``make demo``: the network started, real programs in six languages run on it, and what became of each."""
