"""How the store keeps things: the database, the one writer, and the questions that readers ask."""
