"""Pixels to page millimetres: orientation, sheet edges, printed grid, page map, strips."""
