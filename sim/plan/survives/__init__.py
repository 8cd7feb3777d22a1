"""Which single failures a site survives, and what each of them costs."""
