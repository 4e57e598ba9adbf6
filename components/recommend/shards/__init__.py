"""A batch in shards: the users divided, and a pod for each part."""
