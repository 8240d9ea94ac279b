"""Which lead is printed where on the page, from the page networks."""
