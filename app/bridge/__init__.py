"""Kokino's SQLite files into the topic `kokino.events`: live, exactly once, or replayed."""
