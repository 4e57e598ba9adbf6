"""The last step of a run: publishes its index as a version and the champion, or records why not."""
