"""RatingsDataset: any ratings file and movie table, validated, joined, deduplicated and split."""
