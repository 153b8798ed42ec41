"""What rules are written with: their tests, what is odd about them, what they say in plain words, what has changed."""
