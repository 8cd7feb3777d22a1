"""Choice of a flow's path: one file, one policy; ``base`` has what they see and what decides."""
