"""The printed grid: its period, its phase all over the page, its lines."""
