"""Tables, sessions, and every change of a row's state."""
