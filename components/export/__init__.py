"""Export: the model that was evaluated, wrapped into one SavedModel that a server loads."""
