"""People: passwords, signing in, sessions and refresh."""
