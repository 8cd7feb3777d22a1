"""Results: table schemas, sinks, metrics and their definitions, the manifest, the verdict."""
