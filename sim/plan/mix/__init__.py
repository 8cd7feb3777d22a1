"""The cheapest mix of hardware and parallelism: a program proposes, runs verify, cuts exclude."""
