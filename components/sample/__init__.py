"""A generated world of users and movies with preferences that a model can learn."""
