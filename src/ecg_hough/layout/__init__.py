"""Which lead stands where on the page, from the page networks."""
