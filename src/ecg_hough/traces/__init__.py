"""Where each row of traces runs, in page millimetres."""
