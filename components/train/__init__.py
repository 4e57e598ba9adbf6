"""Model: the two-tower recommender, its training, and the SavedModel that scores with it."""
