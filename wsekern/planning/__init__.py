"""Where a model lies on wafers, how fast it answers there, and which of the ways to lay it is best."""
