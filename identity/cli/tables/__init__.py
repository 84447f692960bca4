"""Tables, CSV or JSON Lines, that users and branches come in from and go out to."""
