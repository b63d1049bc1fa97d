"""The stochastic semi-dual solver, for any source that can be sampled, in any dimension."""
