"""Where runs live: folders, sealing to Parquet, the index."""
