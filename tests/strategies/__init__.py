"""Random policies, events and operations. Everything comes from one `random.Random`, so a seed replays it."""
