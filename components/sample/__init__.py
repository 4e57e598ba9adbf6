"""A generated world of users and movies with tastes that a model can learn."""
