"""Interactions and Vocabulary: users and movies as integers, ratings grouped by user."""
