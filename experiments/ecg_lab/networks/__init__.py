"""Networks of other systems that are trained here: their shape, their data, one loop, their exported
weights."""
