"""The trained networks: how they run, and what goes in and comes out of each."""
