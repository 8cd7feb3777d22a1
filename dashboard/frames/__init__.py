"""What the pages show, as small frames: one file a page, every number by a query over Parquet."""
