"""Comparing predicted records with true ones."""
